-- For `relay check`: the state of the tables and functions of calls in the database itself, which the
-- API's own description may not show yet. For the service role only. Plain SQL, safe to run again.

-- `{"tables": {name: {"columns": [...], "secured": bool, "policies": [...], "open": bool}},
-- "functions": {name: [arguments]}}`; `open`: a policy lets everyone read every row.
create or replace function public.voice_check() returns jsonb
language sql stable set search_path = pg_catalog, pg_temp as $$
  select jsonb_build_object(
    'tables', (
      select jsonb_object_agg(t.relname, jsonb_build_object(
        'columns', (
          select jsonb_agg(a.attname order by a.attnum) from pg_attribute a
          where a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped
        ),
        'secured', t.relrowsecurity,
        'policies', (
          select coalesce(jsonb_agg(p.policyname order by p.policyname), '[]') from pg_policies p
          where p.schemaname = 'public' and p.tablename = t.relname
        ),
        'open', exists (
          select from pg_policies p
          where p.schemaname = 'public' and p.tablename = t.relname and p.permissive = 'PERMISSIVE'
            and p.cmd in ('ALL', 'SELECT') and p.qual = 'true'
            and p.roles && '{public,anon,authenticated}'::name[]
        )
      ))
      from pg_class t
      where t.relnamespace = 'public'::regnamespace and t.relkind in ('r', 'p') and t.relname in (
        'agents', 'conversation_sessions', 'chat_messages_v2', 'system_api_keys', 'voice_sessions',
        'voice_usage', 'coach_assignments', 'coach_actions', 'voice_agents'
      )
    ),
    'functions', (
      select jsonb_object_agg(f.proname, f.arguments) from (
        select p.proname, coalesce(
          jsonb_agg(distinct a.name) filter (where a.name <> ''), '[]'
        ) as arguments
        from pg_proc p left join lateral unnest(p.proargnames) a (name) on true
        where p.pronamespace = 'public'::regnamespace
          and (p.proname = 'get_secret' or p.proname like 'voice\_%')
        group by p.proname
      ) f
    )
  )
$$;

revoke all on function public.voice_check() from public, anon, authenticated;
grant execute on function public.voice_check() to service_role;

-- Makes the API reload the schema.
notify pgrst, 'reload schema';
