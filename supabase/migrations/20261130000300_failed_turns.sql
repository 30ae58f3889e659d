-- Stores a turn whose transcription failed, without words and with the state `failed`. Plain SQL, safe to
-- run again.

-- Writes all of the records or, after an error, none. Returns the reasons for refused ones, by id.
create or replace function public.voice_put_all(records jsonb) returns jsonb
language plpgsql set search_path = public, extensions, pg_temp as $$
declare
  refused jsonb := '{}';
  foreigners jsonb;
  made jsonb;    -- conversations that these records made: by conversation_id, by which record
  before jsonb;  -- conversations of these records as they were: message_count and last_active
  added jsonb;   -- by conversation: how many rows are new, and the latest of them
begin
  -- Utterances: the newest of several versions; none for silence unless it has a row already,
  -- but one for a turn whose transcription failed: something was said, and nobody knows what.
  -- The first words create their conversation.
  with said as (
    select given.at, given.item -> 'conversation' as head,
      (given.item #>> '{row,id}')::uuid as id,
      coalesce(given.item #>> '{row,metadata,full_text}', given.item #>> '{row,content,text}', '')
        <> '' or given.item #>> '{row,metadata,state}' is not distinct from 'failed' as is_said
    from jsonb_array_elements(records) with ordinality as given (item, at)
    where given.item ->> 'kind' = 'utterance'
  ), wanted as (
    select distinct on (c.conversation_id) said.at, c.*
    from said, jsonb_to_record(said.head) as c (
      id uuid, conversation_id uuid, user_id uuid, agent_id uuid, title text,
      started_at timestamptz, last_active timestamptz, session_state jsonb, status text
    )
    where said.is_said or exists (select from chat_messages_v2 m where m.id = said.id)
    order by c.conversation_id, said.at
  ), inserted as (
    insert into conversation_sessions (id, conversation_id, user_id, agent_id, title, started_at,
      last_active, session_state, status)
    select id, conversation_id, user_id, agent_id, title, started_at, last_active, session_state,
      status
    from wanted order by conversation_id
    on conflict (conversation_id) do nothing
    returning conversation_id
  )
  select coalesce(jsonb_object_agg(w.conversation_id, w.at), '{}') into made
  from inserted join wanted w using (conversation_id);

  -- Locked in one order, so that two relays with the same conversations wait but never deadlock.
  with locked as (
    select c.conversation_id, c.id, c.user_id, c.message_count, c.last_active
    from conversation_sessions c
    where c.conversation_id in (
      select (item #>> '{conversation,conversation_id}')::uuid
      from jsonb_array_elements(records) as given (item) where item ->> 'kind' = 'utterance'
    )
    order by c.conversation_id for no key update
  )
  select coalesce(jsonb_object_agg(conversation_id, to_jsonb(locked)), '{}') into before
  from locked;

  select coalesce(jsonb_object_agg(item #>> '{row,id}', 'foreign_conversation'), '{}')
  into foreigners
  from jsonb_array_elements(records) as given (item)
  where item ->> 'kind' = 'utterance'
    and (before #>> array[item #>> '{conversation,conversation_id}', 'user_id'])::uuid
      is distinct from (item #>> '{conversation,user_id}')::uuid
    and before ? (item #>> '{conversation,conversation_id}');
  refused := refused || foreigners;

  with versions as (
    select given.at, given.item -> 'row' as fields, (given.item #>> '{row,id}')::uuid as id,
      (given.item #>> '{row,metadata,seq}')::bigint as seq,
      before -> (given.item #>> '{conversation,conversation_id}') ->> 'id' as conversation_key,
      coalesce(given.item #>> '{row,metadata,full_text}', given.item #>> '{row,content,text}', '')
        <> '' or given.item #>> '{row,metadata,state}' is not distinct from 'failed' as is_said
    from jsonb_array_elements(records) with ordinality as given (item, at)
    where given.item ->> 'kind' = 'utterance' and not refused ? (given.item #>> '{row,id}')
  ), audible as (
    select versions.*, bool_or(is_said) over (partition by id order by at)
      or exists (select from chat_messages_v2 m where m.id = versions.id) as is_kept
    from versions
  ), newest as (
    select distinct on (id) id, fields, conversation_key
    from audible where is_kept order by id, seq desc, at
  ), written as (
    insert into chat_messages_v2 as m (id, conversation_id, session_id, sender_user_id,
      sender_agent_id, role, content, metadata, created_at)
    select n.id, r.conversation_id, n.conversation_key::uuid, r.sender_user_id, r.sender_agent_id,
      r.role, r.content, r.metadata, r.created_at
    from newest n, jsonb_to_record(n.fields) as r (
      conversation_id uuid, sender_user_id uuid, sender_agent_id uuid, role text, content jsonb,
      metadata jsonb, created_at timestamptz
    )
    order by r.conversation_id, r.created_at
    on conflict (id) do update set content = excluded.content, metadata = excluded.metadata,
      created_at = excluded.created_at, updated_at = now()
    where (excluded.metadata ->> 'seq')::bigint > coalesce((m.metadata ->> 'seq')::bigint, 0)
      and m.conversation_id = excluded.conversation_id
    returning m.conversation_id, m.created_at, m.xmax = 0 as is_new
  ), counted as (
    select conversation_id, count(*) as many, max(created_at) as latest
    from written where is_new group by conversation_id
  )
  select coalesce(jsonb_object_agg(conversation_id, to_jsonb(counted)), '{}') into added
  from counted;

  -- Set, not incremented: a trigger of the database may have counted already, or not.
  update conversation_sessions c
  set message_count = (before #>> array[key, 'message_count'])::integer
      + (value ->> 'many')::integer,
    last_active = greatest(
      (before #>> array[key, 'last_active'])::timestamptz, (value ->> 'latest')::timestamptz
    )
  from jsonb_each(added)
  where c.conversation_id = key::uuid;

  -- Usage and calls create no conversation and need none, but another user's is refused.
  select coalesce(jsonb_object_agg(item #>> '{row,id}', 'foreign_conversation'), '{}')
  into foreigners
  from jsonb_array_elements(records) with ordinality as given (item, at)
  join conversation_sessions c on c.conversation_id = (item #>> '{row,conversation_id}')::uuid
  where item ->> 'kind' in ('usage', 'session')
    and c.user_id is distinct from (item #>> '{row,user_id}')::uuid
    and coalesce((made ->> c.conversation_id::text)::bigint < at, true);
  refused := refused || foreigners;

  insert into voice_usage as u
  select distinct on (r.id) r.*
  from jsonb_array_elements(records) with ordinality as given (item, at),
    jsonb_populate_record(
      null::voice_usage, '{"characters": 0}'::jsonb || (item -> 'row')  -- of an earlier relay
    ) as r
  where item ->> 'kind' = 'usage' and not refused ? (item #>> '{row,id}')
  order by r.id, r.seq desc, at
  on conflict (id) do update set (conversation_id, user_id, agent_id, voice_session_id, model, day,
    seq, text_in, text_cached, text_out, audio_in, audio_cached, audio_out, image_in, image_cached,
    reasoning, milliseconds, characters, cost_micro) = (excluded.conversation_id, excluded.user_id,
    excluded.agent_id, excluded.voice_session_id, excluded.model, excluded.day, excluded.seq,
    excluded.text_in, excluded.text_cached, excluded.text_out, excluded.audio_in,
    excluded.audio_cached, excluded.audio_out, excluded.image_in, excluded.image_cached,
    excluded.reasoning, excluded.milliseconds, excluded.characters, excluded.cost_micro)
  where excluded.seq > u.seq;

  insert into voice_sessions as s
  select distinct on (r.id) r.*
  from jsonb_array_elements(records) with ordinality as given (item, at),
    jsonb_populate_record(null::voice_sessions, item -> 'row') as r
  where item ->> 'kind' = 'session' and not refused ? (item #>> '{row,id}')
  order by r.id, r.seq desc, at
  on conflict (id) do update set (conversation_id, user_id, agent_id, model, voice, door, engine,
    started_at, ended_at, ending, seq) = (excluded.conversation_id, excluded.user_id,
    excluded.agent_id, excluded.model, excluded.voice, excluded.door, excluded.engine,
    excluded.started_at, excluded.ended_at, excluded.ending, excluded.seq)
  where excluded.seq > s.seq;

  insert into coach_actions
  select distinct on (r.id) r.*
  from jsonb_array_elements(records) with ordinality as given (item, at),
    jsonb_populate_record(null::coach_actions, item -> 'row') as r
  where item ->> 'kind' = 'action' and not refused ? (item #>> '{row,id}')
  order by r.id, given.at
  on conflict (id) do nothing;

  if exists (
    select from jsonb_array_elements(records) as given (item)
    where coalesce(item ->> 'kind', '') not in ('utterance', 'usage', 'session', 'action')
  ) then
    raise data_exception using message = 'a record of an unknown kind';
  end if;
  return refused;
end $$;

-- Makes the API reload the schema.
notify pgrst, 'reload schema';
