-- Each shipped funnel in its own unit, without a breakdown: one row per day, account and step.
select
    session_start_date as day,
    account_id,
    funnel,
    unit,
    step_index,
    step,
    optional,
    reached,
    dropped,
    rate_from_previous,
    rate_from_first
from {{ source('funnel', 'funnel_daily') }}
where breakdown = 'all'
  and (funnel, unit) in (
    ('monitored', 'session'), ('unmonitored', 'session'), ('impression_to_chat', 'offer'), ('chat_lifecycle', 'conversation')
  )
