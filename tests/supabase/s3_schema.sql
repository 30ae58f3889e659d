-- A database that S3's own migrations have made (CONTRACTS §2.3), on top of empty_project.sql.
-- What the relay does not touch is left out.

create table agents (
  id uuid primary key default uuid_generate_v4(),
  user_id uuid references auth.users (id),
  name text not null,
  description text,
  instructions text,
  created_at timestamptz not null default now()
);
create table chat_channels (
  id uuid primary key default uuid_generate_v4(),
  name text
);

create table conversation_sessions (
  id uuid primary key default uuid_generate_v4(),
  conversation_id uuid not null unique,
  user_id uuid references auth.users (id),
  agent_id uuid references agents (id) on delete cascade,
  title text,
  started_at timestamptz not null default now(),
  ended_at timestamptz,
  last_active timestamptz not null default now(),
  message_count integer not null default 0,
  total_tokens_used integer not null default 0,
  tool_calls_count integer not null default 0,
  session_state jsonb default '{}',
  interruption_context jsonb,
  status varchar(20) default 'active'
    check (status in ('active', 'paused', 'completed', 'abandoned')),
  constraint session_actor check (user_id is not null or agent_id is not null)
);
create index idx_sessions_active on conversation_sessions (last_active) where ended_at is null;

create table chat_messages_v2 (
  id uuid primary key default uuid_generate_v4(),
  version varchar(10) not null default '1.0.0',
  conversation_id uuid not null
    references conversation_sessions (conversation_id) on delete cascade,
  session_id uuid not null,
  parent_message_id uuid references chat_messages_v2 (id),
  channel_id uuid references chat_channels (id),
  sender_user_id uuid references auth.users (id),
  sender_agent_id uuid references agents (id) on delete cascade,
  role varchar(20) not null check (role in ('system', 'user', 'assistant', 'tool')),
  content jsonb not null,
  metadata jsonb default '{}',
  context jsonb default '{}',
  tools jsonb,
  memory_refs uuid[],
  state_snapshot_id uuid,
  audit jsonb,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint valid_content
    check (content ->> 'type' in ('text', 'structured', 'multimodal', 'tool_result')),
  constraint message_actor check (
    (sender_user_id is not null and sender_agent_id is null)
    or (sender_user_id is null and sender_agent_id is not null)
    or (role in ('system', 'tool') and sender_user_id is null and sender_agent_id is null)
  )
);
create index idx_messages_v2_conversation on chat_messages_v2 (conversation_id, created_at);
create index idx_messages_v2_session on chat_messages_v2 (session_id);
create index idx_messages_v2_content on chat_messages_v2 using gin (content);
create index idx_messages_v2_metadata on chat_messages_v2 using gin (metadata);

create function update_session_activity() returns trigger language plpgsql as $$
begin
  update conversation_sessions
  set last_active = now(), message_count = message_count + 1
  where id = new.session_id;
  return new;
end $$;
create trigger update_session_on_message after insert on chat_messages_v2
  for each row execute function update_session_activity();

create function queue_for_summarization() returns trigger language plpgsql as $$
begin
  if (select count(*) from chat_messages_v2 where conversation_id = new.conversation_id) % 5 = 0 then
    perform pg_notify('summarization_queue', new.conversation_id::text);
  end if;
  return new;
end $$;
create trigger queue_summarization_on_message after insert on chat_messages_v2
  for each row execute function queue_for_summarization();

alter table agents enable row level security;
alter table conversation_sessions enable row level security;
alter table chat_messages_v2 enable row level security;
create policy "own agents" on agents for all to authenticated using (user_id = auth.uid());
create policy "Users can view their own sessions" on conversation_sessions
  for select using (user_id = auth.uid());
create policy "Users can create their own sessions" on conversation_sessions
  for insert with check (user_id = auth.uid());
create policy "Users can update their own sessions" on conversation_sessions
  for update using (user_id = auth.uid());
create policy "Users can view messages" on chat_messages_v2 for select using (
  sender_user_id = auth.uid()
  or sender_agent_id in (select id from agents where user_id = auth.uid())
  or (metadata ->> 'target_agent_id')::uuid in (select id from agents where user_id = auth.uid())
);
create policy "Users can send messages" on chat_messages_v2
  for insert with check (sender_user_id = auth.uid());

create table system_api_keys (
  id uuid primary key default gen_random_uuid(),
  provider_name text unique not null,
  display_name text not null,
  vault_secret_id text,
  is_active boolean default true,
  last_updated_by uuid references auth.users (id),
  created_at timestamptz default now(),
  updated_at timestamptz default now()
);
alter table system_api_keys enable row level security;
create policy "Admins manage keys" on system_api_keys for all to authenticated
  using (auth.jwt() -> 'app_metadata' ->> 'role' = 'admin');
insert into system_api_keys (provider_name, display_name, is_active)
values ('openai', 'OpenAI', false), ('anthropic', 'Anthropic', false);

create function get_secret(secret_id uuid) returns table (key text)
language plpgsql security definer set search_path = '' as $$
begin
  return query select s.decrypted_secret from vault.decrypted_secrets s where s.id = secret_id;
end $$;
create function get_secret(secret_name text) returns table (key text)
language plpgsql security definer set search_path = '' as $$
begin
  return query select s.decrypted_secret from vault.decrypted_secrets s where s.name = secret_name;
end $$;
revoke execute on function get_secret(uuid), get_secret(text) from public, anon, authenticated;
grant execute on function get_secret(uuid), get_secret(text) to service_role;
