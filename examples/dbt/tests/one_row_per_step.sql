-- No step of a day stands there twice.
select day, account_id, funnel, step, count(*) as times
from {{ ref('funnel_by_day') }}
group by all
having count(*) > 1
