"""Whether the Supabase project where words end up is as the relay needs it."""
