-- The offers that were shown are those that `impression_to_chat` begins with: two marts, made apart, say the same.
with shown as (
    select session_start_date as day, account_id, count(impression_time) as offers
    from {{ source('funnel', 'offers') }}
    group by all
),

entered as (
    select day, account_id, reached from {{ ref('funnel_by_day') }} where funnel = 'impression_to_chat' and step_index = 1
)

select * from entered full join shown using (day, account_id) where coalesce(reached, 0) <> coalesce(offers, 0)
