-- The door of the older voice relay was called s3 in rows; its name is browser everywhere now.
update public.voice_sessions set door = 'browser' where door = 's3';
