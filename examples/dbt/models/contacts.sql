{# One file an hour, complete: who is not in it is gone. Its name is what `contacts.path` of segmentry.yml says. #}
{{ config(location='export/contacts/' ~ var('snapshot') ~ '.parquet') }}

select
    cast(contact_id as bigint) as contact_id,
    nullif(lower(trim(email)), '') as email,
    country,
    cast(signed_up as date) as signed_up,
    newsletter = 'yes' as newsletter
from {{ ref('raw_contacts') }}
