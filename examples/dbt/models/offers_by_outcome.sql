-- How the offers of a day ended, in both flows.
select
    session_start_date as day,
    account_id,
    flow,
    offer_outcome,
    count(*) as offers,
    count(*) / sum(count(*)) over (partition by session_start_date, account_id, flow) as share
from {{ source('funnel', 'offers') }}
group by session_start_date, account_id, flow, offer_outcome
