-- Access: learners see their own rows, coaches those of learners who are assigned to them, others none.
-- Only the service role writes. These policies add to existing ones. Plain SQL, safe to run again.

alter table public.conversation_sessions enable row level security;
alter table public.chat_messages_v2 enable row level security;
alter table public.voice_sessions enable row level security;
alter table public.voice_usage enable row level security;
alter table public.coach_assignments enable row level security;
alter table public.coach_actions enable row level security;
alter table public.voice_agents enable row level security;

-- By default a project grants everything to everyone, apart from row-level security.
revoke all on public.voice_sessions, public.voice_usage, public.coach_assignments,
  public.coach_actions, public.voice_agents from public, anon, authenticated;
grant select on public.voice_sessions, public.voice_usage, public.coach_assignments,
  public.coach_actions to authenticated;
grant select, insert, update, delete on public.voice_sessions, public.voice_usage,
  public.coach_assignments, public.coach_actions, public.voice_agents to service_role;

drop policy if exists "voice: coaches and learners see their assignments"
  on public.coach_assignments;
create policy "voice: coaches and learners see their assignments" on public.coach_assignments
  for select to authenticated
  using (coach_id = (select auth.uid()) or learner_id = (select auth.uid()));

drop policy if exists "voice: learners and their coaches read conversations"
  on public.conversation_sessions;
create policy "voice: learners and their coaches read conversations"
  on public.conversation_sessions for select to authenticated using (
    user_id = (select auth.uid())
    or user_id in (
      select a.learner_id from public.coach_assignments a where a.coach_id = (select auth.uid())
    )
  );

drop policy if exists "voice: learners and their coaches read what was said"
  on public.chat_messages_v2;
create policy "voice: learners and their coaches read what was said"
  on public.chat_messages_v2 for select to authenticated using (
    conversation_id in (  -- asked once a query, not once a row
      select c.conversation_id from public.conversation_sessions c
      where c.user_id = (select auth.uid())
        or c.user_id in (
          select a.learner_id from public.coach_assignments a where a.coach_id = (select auth.uid())
        )
    )
  );

-- The text chat's own policies let users write messages; such a message can never be one of a call,
-- because those are broadcast and shown to coaches as heard.
drop policy if exists "voice: only the relay adds what was spoken" on public.chat_messages_v2;
create policy "voice: only the relay adds what was spoken" on public.chat_messages_v2
  as restrictive for insert to public
  with check (not coalesce(metadata ? 'voice_session_id', false));
drop policy if exists "voice: only the relay changes what was spoken" on public.chat_messages_v2;
create policy "voice: only the relay changes what was spoken" on public.chat_messages_v2
  as restrictive for update to public
  using (not coalesce(metadata ? 'voice_session_id', false))
  with check (not coalesce(metadata ? 'voice_session_id', false));
drop policy if exists "voice: only the relay deletes what was spoken" on public.chat_messages_v2;
create policy "voice: only the relay deletes what was spoken" on public.chat_messages_v2
  as restrictive for delete to public
  using (not coalesce(metadata ? 'voice_session_id', false));

drop policy if exists "voice: learners and their coaches read calls" on public.voice_sessions;
create policy "voice: learners and their coaches read calls" on public.voice_sessions
  for select to authenticated using (
    user_id = (select auth.uid())
    or user_id in (
      select a.learner_id from public.coach_assignments a where a.coach_id = (select auth.uid())
    )
  );

drop policy if exists "voice: learners and their coaches read usage" on public.voice_usage;
create policy "voice: learners and their coaches read usage" on public.voice_usage
  for select to authenticated using (
    user_id = (select auth.uid())
    or user_id in (
      select a.learner_id from public.coach_assignments a where a.coach_id = (select auth.uid())
    )
  );

-- Not the learner: a whisper is for the model only.
drop policy if exists "voice: coaches read what coaches did" on public.coach_actions;
create policy "voice: coaches read what coaches did" on public.coach_actions
  for select to authenticated using (
    coach_id = (select auth.uid())
    or session_id in (
      select s.id from public.voice_sessions s
      where s.user_id in (
        select a.learner_id from public.coach_assignments a where a.coach_id = (select auth.uid())
      )
    )
  );
