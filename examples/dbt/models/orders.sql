{{ config(location='export/orders.parquet') }}

select
    cast(contact_id as bigint) as contact_id,
    cast(ordered_at as timestamptz) as ordered_at,
    cast(amount as decimal(12, 2)) as amount,
    nullif(coupon, '') as coupon
from {{ ref('raw_orders') }}
where status <> 'cancelled'
