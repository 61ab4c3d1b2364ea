//! Dev-only: viewers, uploaders and an admin at work while a nemesis kills and cuts; counts what it cost.
