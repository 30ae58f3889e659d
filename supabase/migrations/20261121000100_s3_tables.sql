-- Creates the tables that the relay shares with the text chat, if they are missing. Each is created
-- whole, with its policies, or left exactly as it is, so a database that has them does not change.
-- Plain SQL, safe to run again.

do $$
begin
  if to_regclass('public.agents') is null then
    create table public.agents (
      id uuid primary key default gen_random_uuid(),
      user_id uuid references auth.users (id),
      name text not null,
      instructions text,
      created_at timestamptz not null default now()
    );
    alter table public.agents enable row level security;
    revoke all on public.agents from anon, authenticated;
    grant select on public.agents to authenticated;
    grant all on public.agents to service_role;
    create policy "owners read their agents" on public.agents
      for select to authenticated using (user_id = (select auth.uid()));
  end if;

  if to_regclass('public.chat_channels') is null then
    create table public.chat_channels (
      id uuid primary key default gen_random_uuid(),
      name text
    );
    alter table public.chat_channels enable row level security;
    revoke all on public.chat_channels from anon, authenticated;
    grant all on public.chat_channels to service_role;
  end if;

  if to_regclass('public.conversation_sessions') is null then
    create table public.conversation_sessions (
      id uuid primary key default gen_random_uuid(),
      conversation_id uuid not null unique,
      user_id uuid references auth.users (id),
      agent_id uuid references public.agents (id) on delete cascade,
      title text,
      started_at timestamptz not null default now(),
      ended_at timestamptz,
      last_active timestamptz not null default now(),
      message_count integer not null default 0,
      total_tokens_used integer not null default 0,
      tool_calls_count integer not null default 0,
      session_state jsonb not null default '{}',
      interruption_context jsonb,
      status varchar(20) not null default 'active'
        check (status in ('active', 'paused', 'completed', 'abandoned')),
      check (user_id is not null or agent_id is not null)
    );
    create index conversation_sessions_by_activity on public.conversation_sessions (last_active);
    revoke all on public.conversation_sessions from anon, authenticated;
    grant select on public.conversation_sessions to authenticated;
    grant all on public.conversation_sessions to service_role;
  end if;

  if to_regclass('public.chat_messages_v2') is null then
    create table public.chat_messages_v2 (
      id uuid primary key default gen_random_uuid(),
      version varchar(10) not null default '1.0.0',
      conversation_id uuid not null
        references public.conversation_sessions (conversation_id) on delete cascade,
      session_id uuid not null,  -- the conversation's row
      parent_message_id uuid references public.chat_messages_v2 (id),
      channel_id uuid references public.chat_channels (id),
      sender_user_id uuid references auth.users (id),
      sender_agent_id uuid references public.agents (id) on delete cascade,
      role varchar(20) not null check (role in ('system', 'user', 'assistant', 'tool')),
      content jsonb not null
        check (content ->> 'type' in ('text', 'structured', 'multimodal', 'tool_result')),
      metadata jsonb not null default '{}',
      context jsonb not null default '{}',
      tools jsonb,
      memory_refs uuid[],
      state_snapshot_id uuid,
      audit jsonb,
      created_at timestamptz not null default now(),
      updated_at timestamptz not null default now(),
      check (
        num_nonnulls(sender_user_id, sender_agent_id)
        = case when role in ('system', 'tool') then 0 else 1 end
      )
    );
    create index chat_messages_v2_by_conversation
      on public.chat_messages_v2 (conversation_id, created_at);
    create index chat_messages_v2_by_session on public.chat_messages_v2 (session_id);
    revoke all on public.chat_messages_v2 from anon, authenticated;
    grant select on public.chat_messages_v2 to authenticated;
    grant all on public.chat_messages_v2 to service_role;

    -- The same as the text chat's own trigger does per row, but once per statement.
    create or replace function public.chat_messages_counted() returns trigger
    language plpgsql set search_path = public, pg_temp as $count$
    begin
      update public.conversation_sessions c
      set message_count = c.message_count + added.many,
          last_active = greatest(c.last_active, added.latest)
      from (
        select session_id, count(*) as many, max(created_at) as latest
        from added_messages group by session_id
      ) added
      where c.id = added.session_id;
      return null;
    end $count$;
    revoke all on function public.chat_messages_counted() from public, anon, authenticated;
    create trigger chat_messages_counted after insert on public.chat_messages_v2
      referencing new table as added_messages
      for each statement execute function public.chat_messages_counted();
  end if;

  if to_regclass('public.system_api_keys') is null then
    create table public.system_api_keys (
      id uuid primary key default gen_random_uuid(),
      provider_name text unique not null,
      display_name text not null,
      vault_secret_id text,
      is_active boolean not null default true,
      last_updated_by uuid,
      created_at timestamptz not null default now(),
      updated_at timestamptz not null default now()
    );
    alter table public.system_api_keys enable row level security;
    revoke all on public.system_api_keys from anon, authenticated;
    grant all on public.system_api_keys to service_role;
    insert into public.system_api_keys (provider_name, display_name, is_active)
    values ('openai', 'OpenAI', false), ('anthropic', 'Anthropic', false);
  end if;
end $$;

-- Returns the key from the vault, by id or by name. An existing definition stays, whatever it returns:
-- the relay reads rows and plain text alike.
do $$
begin
  if to_regprocedure('public.get_secret(uuid)') is null then
    create function public.get_secret(secret_id uuid) returns table (key text)
    language plpgsql security definer set search_path = '' as $get$
    begin
      if to_regclass('vault.decrypted_secrets') is not null then
        return query
          select s.decrypted_secret from vault.decrypted_secrets s where s.id = secret_id;
      end if;
    end $get$;
    revoke all on function public.get_secret(uuid) from public, anon, authenticated;
    grant execute on function public.get_secret(uuid) to service_role;
  end if;

  if to_regprocedure('public.get_secret(text)') is null then
    create function public.get_secret(secret_name text) returns table (key text)
    language plpgsql security definer set search_path = '' as $get$
    begin
      if to_regclass('vault.decrypted_secrets') is not null then
        return query
          select s.decrypted_secret from vault.decrypted_secrets s where s.name = secret_name;
      end if;
    end $get$;
    revoke all on function public.get_secret(text) from public, anon, authenticated;
    grant execute on function public.get_secret(text) to service_role;
  end if;
end $$;
