-- Creates the relay's own tables: calls, their usage, assignments of coaches, actions of coaches, and
-- voice settings of agents. Plain SQL, safe to run again.

-- One row per call. No foreign keys: a call without words has no conversation, and the cost of a call
-- outlives its agent.
create table if not exists public.voice_sessions (
  id uuid primary key,
  conversation_id uuid not null,
  user_id uuid not null,
  agent_id uuid not null,
  model text not null,
  voice text not null,
  door text not null,
  engine text not null,
  started_at timestamptz not null,
  ended_at timestamptz,
  ending text,
  seq integer not null  -- 1 when it began, 2 when it has ended
);
create index if not exists voice_sessions_by_user on public.voice_sessions (user_id, started_at);

-- The usage of one model in one call on one UTC day, so far. `voice_erase` removes the user, not the
-- cost.
create table if not exists public.voice_usage (
  id uuid primary key,
  conversation_id uuid,
  user_id uuid,
  agent_id uuid not null,
  voice_session_id uuid,
  model text not null,
  day date not null,
  seq integer not null,
  text_in bigint not null,
  text_cached bigint not null,
  text_out bigint not null,
  audio_in bigint not null,
  audio_cached bigint not null,
  audio_out bigint not null,
  image_in bigint not null,
  image_cached bigint not null,
  reasoning bigint not null,
  milliseconds bigint not null,
  cost_micro bigint  -- micro-dollars; null: the model has no price
);
create index if not exists voice_usage_by_day
  on public.voice_usage (day, agent_id, user_id) include (cost_micro);
create index if not exists voice_usage_by_user on public.voice_usage (user_id);

create table if not exists public.coach_assignments (
  coach_id uuid not null references auth.users (id) on delete cascade,
  learner_id uuid not null references auth.users (id) on delete cascade,
  created_at timestamptz not null default now(),
  primary key (coach_id, learner_id)
);
create index if not exists coach_assignments_by_learner on public.coach_assignments (learner_id);

-- The audit. Rows stay when a coach or a learner is erased, without the person and without the words.
create table if not exists public.coach_actions (
  id uuid primary key default gen_random_uuid(),
  session_id uuid not null,
  conversation_id uuid,
  coach_id uuid,
  action text not null check (
    action in ('pause', 'resume', 'whisper', 'takeover', 'release', 'end', 'note', 'summary')
  ),
  details jsonb not null default '{}',
  at timestamptz not null default now()
);
create index if not exists coach_actions_by_session on public.coach_actions (session_id, at);
create index if not exists coach_actions_by_coach on public.coach_actions (coach_id, at);

-- Voice settings of an agent: the keys of docs/agents.md, except those that only a file may set.
create table if not exists public.voice_agents (
  agent_id uuid primary key references public.agents (id) on delete cascade,
  settings jsonb not null default '{}' check (jsonb_typeof(settings) = 'object'),
  updated_at timestamptz not null default now()
);

-- For retention; rows of the text chat are not in it.
create index if not exists chat_messages_v2_spoken on public.chat_messages_v2
  ((metadata ? 'redacted'), created_at) where metadata ? 'voice_session_id';
-- Without it, deleting a row searches the whole table for the answers to it.
create index if not exists chat_messages_v2_by_parent on public.chat_messages_v2
  (parent_message_id) where parent_message_id is not null;
create index if not exists conversation_sessions_by_user
  on public.conversation_sessions (user_id);
