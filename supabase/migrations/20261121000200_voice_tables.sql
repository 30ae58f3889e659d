-- The relay's own tables: calls, what they used, who coaches whom, what coaches did, and how an
-- agent speaks. Plain SQL, safe to run again.

-- One row a call. No foreign keys: a call without words has no conversation, and what a call cost
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

-- What one model used in one call on one UTC day, so far. Who it was is forgotten by `voice_erase`,
-- what it cost is not.
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

-- The audit: kept when a coach or a learner is erased, without who and without words.
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

-- How an agent speaks: the keys of docs/agents.md, but for those that only a file may set.
create table if not exists public.voice_agents (
  agent_id uuid primary key references public.agents (id) on delete cascade,
  settings jsonb not null default '{}' check (jsonb_typeof(settings) = 'object'),
  updated_at timestamptz not null default now()
);

-- What retention looks for; rows of the text chat are not in it.
create index if not exists chat_messages_v2_spoken on public.chat_messages_v2
  ((metadata ? 'redacted'), created_at) where metadata ? 'voice_session_id';
-- Without it every row that is deleted looks for its answers in the whole table.
create index if not exists chat_messages_v2_by_parent on public.chat_messages_v2
  (parent_message_id) where parent_message_id is not null;
create index if not exists conversation_sessions_by_user
  on public.conversation_sessions (user_id);
