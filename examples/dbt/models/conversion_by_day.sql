-- From the first step to the last of each day, beside the day before it that was published.
with days as (
    select
        day,
        account_id,
        funnel,
        unit,
        arg_min(reached, step_index) as entered,
        arg_max(reached, step_index) as completed
    from {{ ref('funnel_by_day') }}
    group by all
),

rates as (
    select *, completed / nullif(entered, 0) as conversion from days
)

select
    *,
    lag(day) over days_before as previous_day,
    lag(conversion) over days_before as previous_conversion,
    conversion - lag(conversion) over days_before as change
from rates
window days_before as (partition by account_id, funnel, unit order by day)
