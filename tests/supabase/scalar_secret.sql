-- S3's later migration: the same function, now with a plain text as its answer.
drop function get_secret(uuid);
create function get_secret(secret_id uuid) returns text
language sql security definer set search_path = '' as $$
  select s.decrypted_secret from vault.decrypted_secrets s where s.id = secret_id
$$;
revoke execute on function get_secret(uuid) from public, anon, authenticated;
grant execute on function get_secret(uuid) to service_role;
