"""DevEnv: a Supabase of six services on Fly; its life in sibling steps."""
