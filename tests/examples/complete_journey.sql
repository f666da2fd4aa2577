-- Every segment of examples/complete_journey, written a second time, by hand, over the package's own files.
-- `prepare` runs once, `at` once for each instant; each further part is one segment: the households in it. What a
-- segment's name gave at this instant is a table of that name for the parts below.
-- Instants are UTC without a zone. The test sets the variables: `source`, `as_of`, `snapshot` (the first instant of the
-- newest month that had begun), and `month` (that of the month of `as_of`), all but the first worked out by hand.

-- part: prepare
create table flags as
select product_id, store_id, week, max(mailer_location) > '0' as mailed, max(display_location) > '0' as displayed
from read_parquet(getvariable('source') || '/promotions.parquet') group by product_id, store_id, week;

create table lines as
select t.household_id, t.transaction_timestamp as moment, t.basket_id, t.store_id, round(t.sales_value * 100)::bigint as cents,
       round(t.retail_disc * 1000000)::hugeint as saved, p.department, p.brand, p.product_category, p.product_type,
       f.mailed, f.displayed, timezone('America/New_York', t.transaction_timestamp at time zone 'UTC') as local
from read_parquet(getvariable('source') || '/transactions.parquet') t
left join read_parquet(getvariable('source') || '/products.parquet') p on p.product_id = t.product_id
left join flags f on f.product_id = t.product_id and f.store_id = t.store_id and f.week = t.week;

create macro midnight(day) as timezone('UTC', timezone('America/New_York', day::timestamp));
create macro months_ago(n) as timezone('UTC', timezone('America/New_York',
    timezone('America/New_York', getvariable('as_of')::timestamp at time zone 'UTC') - to_months(n)));
create macro days_ago(n) as getvariable('as_of')::timestamp - to_days(n);

create table letters as
select c.household_id, c.campaign_id, d.campaign_type, midnight(d.start_date) as sent, midnight(d.end_date) as ended
from read_parquet(getvariable('source') || '/campaigns.parquet') c
join read_parquet(getvariable('source') || '/campaign_descriptions.parquet') d on d.campaign_id = c.campaign_id;

create table redemptions as
select r.household_id, r.campaign_id, d.campaign_type, midnight(r.redemption_date) as moment
from read_parquet(getvariable('source') || '/coupon_redemptions.parquet') r
join read_parquet(getvariable('source') || '/campaign_descriptions.parquet') d on d.campaign_id = r.campaign_id;

create table runs (moment timestamp);
create table vip (household_id integer);
create table vip_at (moment timestamp, household_id integer);

create table survey as from read_parquet(getvariable('source') || '/demographics.parquet');

-- part: at
insert into vip_at select (select max(moment) from runs), household_id from vip;
insert into runs values (getvariable('as_of')::timestamp);
create or replace table seen as from lines where moment <= getvariable('as_of')::timestamp;
create or replace table redeemed as from redemptions where moment <= getvariable('as_of')::timestamp;
create or replace table known as from lines where moment < getvariable('snapshot')::timestamp;
create or replace table home as
select household_id, store_id from (
    select household_id, store_id, row_number() over (partition by household_id order by count(distinct basket_id) desc, store_id) as place
    from known group by household_id, store_id
) where place = 1;
create or replace table people as
select k.household_id, k.first_purchase, k.visits, k.cents, h.store_id as home_store,
       s.age, s.income, s.home_ownership, s.household_size, s.kids_count
from (select household_id, min(moment) as first_purchase, count(distinct basket_id) as visits, sum(cents) as cents from known group by household_id) k
join home h on h.household_id = k.household_id
left join survey s on s.household_id = k.household_id;

-- part: new_shoppers
select household_id from people where first_purchase > days_ago(30) and first_purchase <= getvariable('as_of')::timestamp

-- part: lapsed_regulars
select household_id from people where visits >= 10
except select household_id from seen where moment > days_ago(56)

-- part: big_spenders
select household_id from seen where moment > days_ago(90) group by 1 having sum(cents) >= 150000

-- part: private_label
select household_id from seen where moment > days_ago(180) group by 1
having count(*) >= 50 and 10 * sum(case when brand = 'Private' then cents else 0 end) >= 4 * sum(cents)

-- part: best_of_store
with spent as (
    select p.household_id, p.home_store,
           (select coalesce(sum(s.cents), 0) from seen s where s.household_id = p.household_id and s.moment > days_ago(90)) as cents
    from people p where p.visits >= 5 and p.household_id not in (select household_id from new_shoppers)
)
select a.household_id from spent a
where 10 * (select count(*) from spent b where b.home_store = a.home_store
              and (b.cents > a.cents or b.cents = a.cents and b.household_id < a.household_id))
      < (select count(*) from spent b where b.home_store = a.home_store)

-- part: champions
with bought as (
    select p.household_id, max(s.moment) as latest, count(distinct s.basket_id) filter (s.moment > days_ago(180)) as baskets,
           coalesce(sum(s.cents) filter (s.moment > days_ago(180)), 0) as cents
    from people p left join seen s on s.household_id = p.household_id group by p.household_id
),
fifths as (
    select household_id, ntile(5) over (order by latest, household_id) as recency,
           ntile(5) over (order by baskets, household_id) as frequency, ntile(5) over (order by cents, household_id) as money
    from bought where latest is not null  -- everybody in a snapshot has bought
)
select household_id from fifths where recency = 5 and frequency >= 4 and money >= 4

-- part: families
select household_id from people where kids_count <> '0'

-- part: large_households
select household_id from people where household_size in ('4', '5+') union select household_id from people where kids_count in ('2', '3+')

-- part: baby
select household_id from seen where moment > months_ago(3) and (product_category = 'DIAPERS & DISPOSABLES' or product_category like '%BABY%')
group by 1 having count(*) >= 3

-- part: pet_owners
select household_id from seen where moment > days_ago(60) and regexp_matches(product_category, '^(DOG|CAT) FOOD') group by 1 having count(*) > 1

-- part: not_renters
select household_id from people where coalesce(home_ownership, '?') not like '%Renter%'

-- part: affluent_owners
select household_id from people where home_ownership in ('Homeowner', 'Probable Homeowner')
and income in ('100-124K', '125-149K', '150-174K', '175-199K', '200-249K', '250K+')

-- part: did_not_redeem
select household_id from letters where ended <= getvariable('as_of')::timestamp and ended > days_ago(90)
except select household_id from redeemed where moment > months_ago(6)

-- part: coupon_lovers
select household_id from redeemed where moment > months_ago(12) group by 1 having count(*) >= 3
intersect select household_id from redeemed group by 1 having count(distinct campaign_id) >= 2

-- part: personal_offers_refused
select household_id from letters where sent <= getvariable('as_of')::timestamp and campaign_type = 'Type A'
except select household_id from redeemed where campaign_type = 'Type A'

-- part: weekend_shoppers
select household_id from seen where moment > days_ago(60) group by 1
having 10 * count(*) filter (where dayname(local) in ('Saturday', 'Sunday')) > 6 * count(*) and count(distinct basket_id) >= 4

-- part: evening_shoppers
select household_id from seen where moment > days_ago(84) and strftime(local, '%H') in ('20', '21', '22', '23')
group by 1 having count(distinct basket_id) >= 5

-- part: produce_fans
select household_id from seen where moment > days_ago(60) and department = 'PRODUCE' group by 1 having count(distinct product_type) >= 12

-- part: groups
with numbered as (
    select household_id, '0x' || substr(md5('win back:holdout:' || household_id), 1, 15) as first, '0x' || substr(md5('win back:letter:' || household_id), 1, 15) as second
    from lapsed_regulars
)
select household_id, if(first::bigint::hugeint * 10 < 1152921504606846976, 'holdout', if(second::bigint::hugeint * 2 < 1152921504606846976, 'letter', 'voucher')) from numbered

-- part: whole_store
select household_id from seen where moment > days_ago(30) group by 1 having count(distinct department) >= 7

-- part: switched_store
select p.household_id from people p
where p.visits >= 5 and p.home_store is distinct from
    (select s.store_id from seen s where s.household_id = p.household_id order by s.moment desc, s.store_id desc limit 1)

-- part: treat_last_time
select household_id from (select household_id, cents, rank() over (partition by household_id order by moment desc) as place from seen)
where place = 1 group by 1 having max(cents) >= 2500

-- part: discount_hunters
select household_id from seen where moment > days_ago(60) group by 1 having count(*) >= 20 and 3 * sum(saved) > 10000 * sum(cents)

-- part: dear_items
select household_id from seen where moment > days_ago(90) group by 1 having sum(cents) > 450 * count(*) or max(cents) >= 10000

-- part: mailer_readers
select household_id from seen where moment > days_ago(90) and mailed and not displayed group by 1 having count(*) >= 15

-- part: came_back
select household_id from seen where moment > days_ago(14)
intersect select household_id from seen where moment <= days_ago(74)
except select household_id from seen where moment >= days_ago(74) and moment <= days_ago(14)

-- part: month_so_far
select household_id from seen where moment >= getvariable('month')::timestamp group by 1 having sum(cents) >= 30000

-- part: last_month_regulars
with here as (select timezone('America/New_York', getvariable('as_of')::timestamp at time zone 'UTC') as local_now)
select household_id from seen, here where local >= date_trunc('month', local_now) - to_months(1) and local < date_trunc('month', local_now)
group by household_id having count(distinct basket_id) >= 8
except select household_id from people, here
where timezone('America/New_York', first_purchase at time zone 'UTC') >= date_trunc('quarter', local_now) - to_months(3)
  and timezone('America/New_York', first_purchase at time zone 'UTC') < date_trunc('quarter', local_now)

-- part: fresh_cooks
select household_id from known group by household_id
having count(distinct department) filter (department in ('PRODUCE', 'MEAT', 'SEAFOOD', 'DELI')) = 4
   and count(*) filter (department like '%FROZEN%' or department = 'FUEL') = 0

-- part: two_stores
with there as (select household_id, store_id, count(distinct basket_id) as trips from known group by household_id, store_id)
select household_id from there where trips >= 10 group by household_id having count(*) >= 2
union
select there.household_id from there join home on home.household_id = there.household_id and home.store_id <> there.store_id where trips > 24

-- part: halloween
select household_id from seen where local >= '2017-10-17' and local < '2017-11-01' and product_category like '%CANDY%'
group by 1 having count(*) >= 3

-- part: flowers
select household_id from known where department in ('FLORAL', 'GARDEN CENTER')
intersect select household_id from seen where department = 'FLORAL' and moment > days_ago(120)

-- part: fuel_only
select household_id from seen where moment > days_ago(45) group by 1
having bool_and(department is not distinct from 'FUEL')

-- part: early_birds
select p.household_id from people p join
    (select household_id, min(moment) as began, max(store_id) filter (where moment = earliest) as store_id
     from (select *, min(moment) over (partition by household_id) as earliest from seen) group by household_id) f
on f.household_id = p.household_id and f.store_id = p.home_store and f.began < '2017-02-01 05:00:00'

-- part: above_average_basket
select household_id from people where cents::double / 100 / visits > 60

-- part: panel
select household_id from people where household_id in (1, 7, 22, 1609, 2322)

-- part: spring_test
select household_id from people where ('0x' || substr(md5('spring:' || household_id), 1, 15))::bigint < 0.2 * 1152921504606846976

-- part: vip
select household_id from (
    select household_id from (from big_spenders union all from whole_store union all from coupon_lovers) group by 1 having count(*) >= 2
    except from lapsed_regulars
) where household_id not in (1609, 900)
union select household_id from people where household_id in (718, 1653)

-- part: vip_to_treat
from vip except from panel except from spring_test

-- part: vip_slipped
select r.household_id from vip_at r
join (select moment, lead(moment) over (order by moment) as next from runs) o on o.moment = r.moment and o.next > days_ago(70)
anti join (from vip_at union all select getvariable('as_of')::timestamp, household_id from vip) n
on n.moment = o.next and n.household_id = r.household_id
except from vip

-- part: vip_steady
select household_id from vip v where exists (
    from vip_at r where r.household_id = v.household_id and r.moment <= months_ago(6) and (
        select count(*) from vip_at x where x.household_id = v.household_id and x.moment >= r.moment
    ) = (select count(*) - 1 from runs where moment >= r.moment)
)

-- part: quick_redeemers
select l.household_id from letters l join redeemed r on r.household_id = l.household_id and r.campaign_id = l.campaign_id
where l.sent < r.moment and r.moment <= l.sent + to_hours(14 * 24)

-- part: weekly_regulars
select household_id from (select distinct household_id, date_trunc('week', local) as week from seen)
where week > date_trunc('week', timezone('America/New_York', getvariable('as_of')::timestamp at time zone 'UTC')) - to_days(56)
group by 1 having count(*) >= 7

-- part: letters_unanswered
select household_id from letters where (sent <= getvariable('as_of')::timestamp and sent > days_ago(90))
or (ended <= getvariable('as_of')::timestamp and ended > days_ago(90))
except select household_id from redeemed where moment > months_ago(6)

-- part: flowers_for_farewell
select f.household_id from seen f anti join seen o
on o.household_id = f.household_id and o.moment > f.moment and o.moment <= f.moment + to_days(10)
where f.department = 'FLORAL' and f.moment <= days_ago(10)
