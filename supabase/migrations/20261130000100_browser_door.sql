-- Renames the door of the older front end in rows: it was called s3, and is called browser now.
update public.voice_sessions set door = 'browser' where door = 's3';
