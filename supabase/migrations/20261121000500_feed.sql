-- Lets a coach follow a call from the database alone: every row is broadcast to the private topic
-- `voice:<voice_session_id>` when it is written, and `voice_feed` returns earlier and missed rows.
-- Plain SQL, safe to run again; without Realtime in the database there is no broadcast.

-- Returns the utterances of a call after `since`, in the order of `seq`, in the shape of the broadcast,
-- as far as the policies let the caller see them. The condition on the call's conversation is there for
-- its index: for an index on `metadata` the planner would have to look past the policies.
create or replace function public.voice_feed(session uuid, since bigint default 0)
returns table (
  seq bigint, "position" double precision, id uuid, conversation_id uuid, voice_session_id uuid,
  role text, text text, state text, created_at timestamptz, metadata jsonb
) language sql stable security invoker set search_path = public, pg_temp as $$
  select (m.metadata ->> 'seq')::bigint, (m.metadata ->> 'position')::double precision, m.id,
    m.conversation_id, session, m.role, m.content ->> 'text', m.metadata ->> 'state', m.created_at,
    m.metadata
  from chat_messages_v2 m
  where m.conversation_id = (select s.conversation_id from voice_sessions s where s.id = session)
    and m.metadata ->> 'voice_session_id' = session::text
    and (m.metadata ->> 'seq')::bigint > since
  order by (m.metadata ->> 'seq')::bigint
$$;
revoke all on function public.voice_feed(uuid, bigint) from public, anon;
grant execute on function public.voice_feed(uuid, bigint) to authenticated, service_role;

-- Runs once per statement, not once per row, and as its owner, who may write to Realtime's table. An
-- error here must not prevent utterances from being stored: a missed broadcast is in `voice_feed`.
create or replace function public.voice_broadcast() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  said record;
begin
  if to_regprocedure('realtime.send(jsonb,text,text,boolean)') is null then
    return null;
  end if;
  for said in
    select (m.metadata ->> 'seq')::bigint as seq,
      (m.metadata ->> 'position')::double precision as "position", m.id, m.conversation_id,
      m.metadata ->> 'voice_session_id' as voice_session_id, m.role, m.content ->> 'text' as text,
      m.metadata ->> 'state' as state, m.created_at, m.metadata
    from voice_rows m
    where m.metadata ? 'voice_session_id'
      and not m.metadata ?| '{redacted,sender_erased}'  -- redacted and erased rows are not announced
    order by m.metadata ->> 'voice_session_id', (m.metadata ->> 'seq')::bigint
  loop
    perform realtime.send(to_jsonb(said), 'utterance', 'voice:' || said.voice_session_id, true);
  end loop;
  return null;
exception when others then
  raise warning 'voice: not broadcast: %', sqlstate;
  return null;
end $$;
revoke all on function public.voice_broadcast() from public, anon, authenticated;

drop trigger if exists voice_broadcast_new on public.chat_messages_v2;
create trigger voice_broadcast_new after insert on public.chat_messages_v2
  referencing new table as voice_rows
  for each statement execute function public.voice_broadcast();
drop trigger if exists voice_broadcast_changed on public.chat_messages_v2;
create trigger voice_broadcast_changed after update on public.chat_messages_v2
  referencing new table as voice_rows
  for each statement execute function public.voice_broadcast();

-- The learner of the call and the coaches assigned to them may join the topic, as soon as the call's
-- first record is stored, a second after it began.
do $$
begin
  if to_regclass('realtime.messages') is null or to_regprocedure('realtime.topic()') is null then
    return;
  end if;
  drop policy if exists "voice: learners and their coaches follow calls" on realtime.messages;
  create policy "voice: learners and their coaches follow calls" on realtime.messages
    for select to authenticated using (
      extension = 'broadcast'
      and exists (
        select from public.voice_sessions s
        where 'voice:' || s.id::text = (select realtime.topic())
          and (
            s.user_id = (select auth.uid())
            or s.user_id in (
              select a.learner_id from public.coach_assignments a
              where a.coach_id = (select auth.uid())
            )
          )
      )
    );
exception when insufficient_privilege then
  raise warning 'voice: the policy on realtime.messages needs the rights of its owner';
end $$;
