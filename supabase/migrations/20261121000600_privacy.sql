-- Retention, export and erasure. For the service role only. Plain SQL, safe to run again.

-- Removes utterances of calls older than `days`: `redact` empties their text and leaves the rows,
-- `delete` deletes the rows, and conversations that become empty. At most `most` rows, so that no
-- statement runs long: repeat until the result, the number of rows, is 0.
create or replace function public.voice_forget(
  days integer, mode text default 'redact', most integer default 10000
) returns integer language plpgsql set search_path = public, extensions, pg_temp as $$
declare
  limit_at timestamptz := now() - make_interval(days => days);
  touched uuid[];
  many integer;
begin
  if days < 0 or days is null then
    raise invalid_parameter_value using message = 'days must be 0 or more';
  end if;
  if mode = 'redact' then
    update chat_messages_v2 set
      content = content || '{"text": ""}', updated_at = now(),
      metadata = (metadata - 'full_text') || '{"heard_text": "", "redacted": true}'
    where id in (
      select id from chat_messages_v2
      where created_at < limit_at and metadata ? 'voice_session_id'
        and not (metadata ? 'redacted')
      limit most for update skip locked
    );
    get diagnostics many = row_count;
  elsif mode = 'delete' then
    with gone as (
      delete from chat_messages_v2 where id in (
        select id from chat_messages_v2
        where created_at < limit_at and metadata ? 'voice_session_id'
        limit most for update skip locked
      ) returning conversation_id
    )
    select count(*), array_agg(distinct conversation_id) into many, touched from gone;
    perform public.voice_recount(touched);
  else
    raise invalid_parameter_value using message = 'mode must be redact or delete';
  end if;
  -- A coach's whispers and notes are emptied too; their rows stay.
  update coach_actions set details = '{}' where at < limit_at and details <> '{}';
  return many;
end $$;

-- After rows were deleted: corrects counts and deletes empty conversations of calls.
create or replace function public.voice_recount(conversations uuid[]) returns void
language plpgsql set search_path = public, extensions, pg_temp as $$
begin
  update conversation_sessions c set message_count =
    (select count(*) from chat_messages_v2 m where m.conversation_id = c.conversation_id)
  where c.conversation_id = any (conversations);
  delete from conversation_sessions c
  where c.conversation_id = any (conversations)
    and c.session_state ->> 'started_via' = 'realtime_voice'
    and not exists (select from chat_messages_v2 m where m.conversation_id = c.conversation_id);
end $$;

-- Returns everything stored about one person: as learner, as speaker and as coach.
create or replace function public.voice_export(user_id uuid) returns jsonb
language sql stable set search_path = public, pg_temp as $$
  select jsonb_build_object(
    'user_id', voice_export.user_id,
    'exported_at', now(),
    'conversations', (
      select coalesce(jsonb_agg(to_jsonb(c) || jsonb_build_object('messages', (
        select coalesce(jsonb_agg(to_jsonb(m) order by m.created_at, m.id), '[]')
        from chat_messages_v2 m where m.conversation_id = c.conversation_id
      )) order by c.started_at), '[]')
      from conversation_sessions c where c.user_id = voice_export.user_id
    ),
    'said_elsewhere', (
      select coalesce(jsonb_agg(to_jsonb(m) order by m.created_at, m.id), '[]')
      from chat_messages_v2 m
      join conversation_sessions c on c.conversation_id = m.conversation_id
      where m.sender_user_id = voice_export.user_id
        and c.user_id is distinct from voice_export.user_id
    ),
    'calls', (
      select coalesce(jsonb_agg(to_jsonb(s) order by s.started_at), '[]')
      from voice_sessions s where s.user_id = voice_export.user_id
    ),
    'usage', (
      select coalesce(jsonb_agg(to_jsonb(u) order by u.day, u.id), '[]')
      from voice_usage u where u.user_id = voice_export.user_id
    ),
    'assignments', (
      select coalesce(jsonb_agg(to_jsonb(a) order by a.created_at), '[]')
      from coach_assignments a
      where voice_export.user_id in (a.coach_id, a.learner_id)
    ),
    'coach_actions', (
      select coalesce(jsonb_agg(to_jsonb(x) order by x.at), '[]')
      from coach_actions x
      where x.coach_id = voice_export.user_id
        or x.conversation_id in (
          select c.conversation_id from conversation_sessions c
          where c.user_id = voice_export.user_id
        )
        or x.session_id in (select s.id from voice_sessions s where s.user_id = voice_export.user_id)
    )
  )
$$;

-- Erases one person from the data of calls: their utterances with the answers to them, their calls,
-- their assignments. Their usage stays without their name, for accounting; what they did as a coach
-- stays in other people's conversations and in the audit, without their name. Their messages in the
-- text chat stay. Returns the number of rows of each kind.
create or replace function public.voice_erase(user_id uuid) returns jsonb
language plpgsql set search_path = public, extensions, pg_temp as $$
#variable_conflict use_column
declare
  person uuid := voice_erase.user_id;
  counts jsonb := '{}';
  own uuid[];
  many integer;
begin
  select array_agg(c.conversation_id) into own from conversation_sessions c where c.user_id = person;

  update coach_actions set details = '{}', conversation_id = null
  where conversation_id = any (own)
    or session_id in (select s.id from voice_sessions s where s.user_id = person);
  update coach_actions set coach_id = null where coach_id = person;
  get diagnostics many = row_count;
  counts := counts || jsonb_build_object('coach_actions', many);

  delete from chat_messages_v2
  where conversation_id = any (own) and metadata ? 'voice_session_id';
  get diagnostics many = row_count;
  counts := counts || jsonb_build_object('messages', many);
  update chat_messages_v2 m
  set sender_user_id = null, sender_agent_id = c.agent_id,
    metadata = m.metadata || '{"sender_erased": true}'
  from conversation_sessions c
  where m.conversation_id = c.conversation_id and m.sender_user_id = person
    and m.metadata ? 'voice_session_id' and c.agent_id is not null;

  select count(*) into many from conversation_sessions c where c.conversation_id = any (own);
  perform public.voice_recount(own);
  many := many - (select count(*) from conversation_sessions c where c.conversation_id = any (own));
  counts := counts || jsonb_build_object('conversations', many);

  delete from voice_sessions where user_id = person;
  get diagnostics many = row_count;
  counts := counts || jsonb_build_object('calls', many);
  update voice_usage set user_id = null, conversation_id = null, voice_session_id = null
  where user_id = person;
  get diagnostics many = row_count;
  counts := counts || jsonb_build_object('usage', many);
  delete from coach_assignments where person in (coach_id, learner_id);
  get diagnostics many = row_count;
  return counts || jsonb_build_object('assignments', many);
end $$;

revoke all on function public.voice_forget(integer, text, integer),
  public.voice_recount(uuid[]), public.voice_export(uuid), public.voice_erase(uuid)
  from public, anon, authenticated;
grant execute on function public.voice_forget(integer, text, integer),
  public.voice_recount(uuid[]), public.voice_export(uuid), public.voice_erase(uuid)
  to service_role;

-- Makes the API reload the schema.
notify pgrst, 'reload schema';
