-- location contains 'İΣ' and email matches '(?i)^a.*\.uk$' and email like '50\%' and trim(location) ends with 'k'
-- as of 2026-06-15T12:00:00.000000Z, in Asia/Kolkata
-- reads segmentry_contacts: the rows of a frame, with
--   email STRING
--   id BIGINT
--   location STRING
WITH `$contacts` AS (
  SELECT
    `$key` AS `$position`,
    *
  FROM (
    SELECT
      `id` AS `$key`,
      NULLIF(`email`, '') AS `email`,
      NULLIF(`location`, '') AS `location`
    FROM `segmentry_contacts`
  ) AS `c`
), `$conditions` AS (
  SELECT
    `$position`,
    COALESCE(ENDSWITH(`$v2`, 'k'), FALSE) AS `leaf0`,
    COALESCE(LIKE(`email`, '50\\\\%'), FALSE) AS `leaf1`,
    COALESCE(RLIKE(`email`, '(?iu)\\Aa[^\\n]*\\x{2E}uk\\z'), FALSE) AS `leaf2`,
    COALESCE(CONTAINS(`$v3`, 'iσ'), FALSE) AS `leaf3`
  FROM (
    SELECT
      *,
      LOWER(TRANSLATE(`$v1`, 'İΣ', 'iσ')) AS `$v2`
    FROM (
      SELECT
        *,
        NULLIF(BTRIM(`location`, ' \t\r\n'), '') AS `$v1`,
        LOWER(TRANSLATE(`location`, 'İΣ', 'iσ')) AS `$v3`
      FROM (
        SELECT
          `c`.*
        FROM `$contacts` AS `c`
      ) AS `s0`
    ) AS `s1`
  ) AS `s2`
)
SELECT
  `$position` AS `id`,
  (
    `leaf3` AND `leaf2`
  ) AND (
    `leaf1` AND `leaf0`
  ) AS `text`
FROM (
  SELECT
    `c`.*
  FROM `$conditions` AS `c`
) AS `a0`

-- value / visits > 0.5 and value * value - 1 >= 10 and -exact < 0 and floor(ratio) % 2 = 1 and round(exact) = 3
-- as of 2026-06-15T12:00:00.000000Z, in Asia/Kolkata
-- reads segmentry_contacts: the rows of a frame, with
--   exact DECIMAL(38,10)
--   id BIGINT
--   ratio DOUBLE
--   value BIGINT
--   visits DECIMAL(20,0)
WITH `$contacts` AS (
  SELECT
    `$key` AS `$position`,
    *
  FROM (
    SELECT
      `id` AS `$key`,
      `exact`,
      NULLIF(`ratio`, CAST('NaN' AS DOUBLE)) AS `ratio`,
      `value`,
      `visits`
    FROM `segmentry_contacts`
  ) AS `c`
), `$conditions` AS (
  SELECT
    `$position`,
    COALESCE(ROUND(`exact`) = 3, FALSE) AS `leaf0`,
    COALESCE(
      CASE WHEN ABS(`$v1`) < CAST('Infinity' AS DOUBLE) THEN `$v1` END = CAST('1' AS DOUBLE),
      FALSE
    ) AS `leaf1`,
    COALESCE(
      CAST(REPLACE(CONCAT('-', CAST(`exact` AS STRING)), '--', '') AS DECIMAL(38, 10)) < 0.0000000000,
      FALSE
    ) AS `leaf2`,
    COALESCE(
      TRY_CAST(TRY_SUBTRACT(
        CAST(REPLACE(
          CAST(TRY_CAST(TRY_MULTIPLY(CAST(`value` AS DECIMAL(38,0)), CAST(`value` AS DECIMAL(38,0))) AS DECIMAL(38, 0)) AS STRING),
          '.',
          ''
        ) AS DECIMAL(38,0)),
        CAST(1 AS DECIMAL(38,0))
      ) AS DECIMAL(38, 0)) >= 10,
      FALSE
    ) AS `leaf3`,
    COALESCE(
      CASE WHEN ABS(`$v2`) < CAST('Infinity' AS DOUBLE) THEN `$v2` END > CAST('0.5' AS DOUBLE),
      FALSE
    ) AS `leaf4`
  FROM (
    SELECT
      *,
      TRY_MOD(
        CASE
          WHEN ABS(`ratio`) < CAST('4503599627370496' AS DOUBLE)
          THEN CAST(FLOOR(`ratio`) AS DOUBLE)
          ELSE `ratio`
        END,
        CAST('2' AS DOUBLE)
      ) AS `$v1`,
      TRY_DIVIDE(CAST(`value` AS DOUBLE), CAST(`visits` AS DOUBLE)) AS `$v2`
    FROM (
      SELECT
        `c`.*
      FROM `$contacts` AS `c`
    ) AS `s0`
  ) AS `s1`
)
SELECT
  `$position` AS `id`,
  (
    `leaf4` AND `leaf3`
  ) AND (
    `leaf2` AND (
      `leaf1` AND `leaf0`
    )
  ) AS `numbers`
FROM (
  SELECT
    `c`.*
  FROM `$conditions` AS `c`
) AS `a0`

-- seen after '2026-01-31' and hour(seen) = 9 and birthday in the next '7 days' and next_anniversary(birthday) < '2026-07-01'
-- as of 2026-06-15T12:00:00.000000Z, in Asia/Kolkata
-- reads segmentry_contacts: the rows of a frame, with
--   birthday DATE
--   id BIGINT
--   seen TIMESTAMP
WITH `$contacts` AS (
  SELECT
    `$key` AS `$position`,
    *
  FROM (
    SELECT
      `id` AS `$key`,
      `birthday`,
      TRY_ADD(
        CAST('1970-01-01' AS TIMESTAMP_NTZ),
        MAKE_DT_INTERVAL(
          CAST(UNIX_MICROS(`seen`) DIV 86400000000 AS INT),
          0,
          0,
          CAST(CAST(UNIX_MICROS(`seen`) % 86400000000 AS DECIMAL(18, 0)) * CAST('0.000001' AS DECIMAL(6, 6)) AS DECIMAL(18, 6))
        )
      ) AS `seen`
    FROM `segmentry_contacts`
  ) AS `c`
), `$conditions` AS (
  SELECT
    `$position`,
    COALESCE(
      CASE
        WHEN CASE
          WHEN (
            MONTH(`birthday`) = 2
          ) AND (
            DAY(`birthday`) = 29
          )
          THEN DATE_SUB(MAKE_DATE(2026, 3, 1), 1)
          ELSE MAKE_DATE(2026, MONTH(`birthday`), DAY(`birthday`))
        END >= CAST('2026-06-15' AS DATE)
        THEN CASE
          WHEN (
            MONTH(`birthday`) = 2
          ) AND (
            DAY(`birthday`) = 29
          )
          THEN DATE_SUB(MAKE_DATE(2026, 3, 1), 1)
          ELSE MAKE_DATE(2026, MONTH(`birthday`), DAY(`birthday`))
        END
        ELSE CASE
          WHEN (
            MONTH(`birthday`) = 2
          ) AND (
            DAY(`birthday`) = 29
          )
          THEN DATE_SUB(MAKE_DATE(2027, 3, 1), 1)
          ELSE MAKE_DATE(2027, MONTH(`birthday`), DAY(`birthday`))
        END
      END < CAST('2026-07-01' AS DATE),
      FALSE
    ) AS `leaf0`,
    COALESCE(`birthday` < CAST('2026-06-22' AS DATE), FALSE) AS `leaf1`,
    COALESCE(`birthday` >= CAST('2026-06-15' AS DATE), FALSE) AS `leaf2`,
    COALESCE(CAST(HOUR(`$v1`) AS BIGINT) = 9, FALSE) AS `leaf3`,
    COALESCE(`seen` >= CAST('2026-01-31 18:30:00.000000' AS TIMESTAMP_NTZ), FALSE) AS `leaf4`
  FROM (
    SELECT
      *,
      TRY_ADD(
        `seen`,
        MAKE_DT_INTERVAL(
          0,
          0,
          0,
          CAST(CASE
            WHEN `seen` < CAST('1941-09-30 18:30:00' AS TIMESTAMP_NTZ)
            THEN CASE
              WHEN `seen` < CAST('1869-12-31 18:06:40' AS TIMESTAMP_NTZ)
              THEN CASE
                WHEN `seen` < CAST('1854-06-27 18:06:32' AS TIMESTAMP_NTZ)
                THEN 21208000000
                ELSE 21200000000
              END
              ELSE CASE
                WHEN `seen` < CAST('1905-12-31 18:38:50' AS TIMESTAMP_NTZ)
                THEN 19270000000
                ELSE 19800000000
              END
            END
            ELSE CASE
              WHEN `seen` < CAST('1942-08-31 18:30:00' AS TIMESTAMP_NTZ)
              THEN CASE
                WHEN `seen` < CAST('1942-05-14 17:30:00' AS TIMESTAMP_NTZ)
                THEN 23400000000
                ELSE 19800000000
              END
              ELSE CASE
                WHEN `seen` < CAST('1945-10-14 17:30:00' AS TIMESTAMP_NTZ)
                THEN 23400000000
                ELSE 19800000000
              END
            END
          END DIV 1000000 AS DECIMAL(18, 6))
        )
      ) AS `$v1`
    FROM (
      SELECT
        `c`.*
      FROM `$contacts` AS `c`
    ) AS `s0`
  ) AS `s1`
)
SELECT
  `$position` AS `id`,
  (
    `leaf4` AND `leaf3`
  ) AND (
    (
      `leaf2` AND `leaf1`
    ) AND `leaf0`
  ) AS `time`
FROM (
  SELECT
    `c`.*
  FROM `$conditions` AS `c`
) AS `a0`

-- tags contains 'x' and length(tags) > 1 and contains_any(codes, 1, 2.5)
-- as of 2026-06-15T12:00:00.000000Z, in Asia/Kolkata
-- reads segmentry_contacts: the rows of a frame, with
--   codes ARRAY<BIGINT>
--   id BIGINT
--   tags ARRAY<STRING>
WITH `$contacts` AS (
  SELECT
    `$key` AS `$position`,
    *
  FROM (
    SELECT
      `id` AS `$key`,
      `codes`,
      `tags`
    FROM `segmentry_contacts`
  ) AS `c`
), `$conditions` AS (
  SELECT
    `$position`,
    COALESCE(ARRAY_CONTAINS(`codes`, CAST(1 AS BIGINT)) OR FALSE, FALSE) AS `leaf0`,
    COALESCE(CAST(ARRAY_SIZE(`tags`) AS BIGINT) > 1, FALSE) AS `leaf1`,
    COALESCE(ARRAY_CONTAINS(`tags`, 'x'), FALSE) AS `leaf2`
  FROM (
    SELECT
      `c`.*
    FROM `$contacts` AS `c`
  ) AS `s0`
)
SELECT
  `$position` AS `id`,
  `leaf2` AND (
    `leaf1` AND `leaf0`
  ) AS `lists`
FROM (
  SELECT
    `c`.*
  FROM `$conditions` AS `c`
) AS `a0`

-- sample('10%', salt => 'exp-7')
-- as of 2026-06-15T12:00:00.000000Z, in Asia/Kolkata
-- reads segmentry_contacts: the rows of a frame, with
--   id BIGINT
WITH `$contacts` AS (
  SELECT
    `$key` AS `$position`,
    *
  FROM (
    SELECT
      `id` AS `$key`
    FROM `segmentry_contacts`
  ) AS `c`
), `$conditions` AS (
  SELECT
    `$position`,
    COALESCE(`$v1` < '19999999999999a', FALSE) AS `leaf0`
  FROM (
    SELECT
      *,
      SUBSTR(MD5(CAST(CONCAT('exp-7:', CAST(`$key` AS STRING)) AS BINARY)), 1, 15) AS `$v1`
    FROM (
      SELECT
        `c`.*
      FROM `$contacts` AS `c`
    ) AS `s0`
  ) AS `s1`
)
SELECT
  `$position` AS `id`,
  `leaf0` AS `sample`
FROM (
  SELECT
    `c`.*
  FROM `$conditions` AS `c`
) AS `a0`

-- distance_km(ratio, ratio, 51.5, -0.12) < 5 and number(location) > 1
-- as of 2026-06-15T12:00:00.000000Z, in Asia/Kolkata
-- reads segmentry_contacts: the rows of a frame, with
--   id BIGINT
--   location STRING
--   ratio DOUBLE
WITH `$contacts` AS (
  SELECT
    `$key` AS `$position`,
    *
  FROM (
    SELECT
      `id` AS `$key`,
      NULLIF(`location`, '') AS `location`,
      NULLIF(`ratio`, CAST('NaN' AS DOUBLE)) AS `ratio`
    FROM `segmentry_contacts`
  ) AS `c`
), `$conditions` AS (
  SELECT
    `$position`,
    COALESCE(
      CASE WHEN ABS(`$v1`) < CAST('Infinity' AS DOUBLE) THEN `$v1` END > CAST('1' AS DOUBLE),
      FALSE
    ) AS `leaf0`,
    COALESCE(
      CASE WHEN ABS(`$v4`) < CAST('Infinity' AS DOUBLE) THEN `$v4` END < CAST('5' AS DOUBLE),
      FALSE
    ) AS `leaf1`
  FROM (
    SELECT
      *,
      CASE
        WHEN (
          (
            ABS(`ratio`) < CAST('Infinity' AS DOUBLE)
          )
          AND (
            ABS(`ratio`) < CAST('Infinity' AS DOUBLE)
          )
        )
        AND (
          (
            ABS(`$v2`) < CAST('Infinity' AS DOUBLE)
          )
          AND (
            ABS(`$v3`) < CAST('Infinity' AS DOUBLE)
          )
        )
        THEN CAST('12742.0176' AS DOUBLE) * ASIN(
          SQRT(
            LEAST(
              CAST(1 AS DOUBLE),
              POW(SIN(RADIANS(`ratio` - `$v2`) / 2), 2) + (
                COS(RADIANS(`ratio`)) * (
                  COS(RADIANS(`$v2`)) * POW(SIN(RADIANS(`ratio` - `$v3`) / 2), 2)
                )
              )
            )
          )
        )
      END AS `$v4`
    FROM (
      SELECT
        *,
        CASE
          WHEN RLIKE(`location`, '^ *[+-]?[0-9]+(\\.[0-9]+)?(e[+-]?[0-9]+)? *\\z')
          THEN TRY_CAST(BTRIM(`location`) AS DOUBLE)
        END AS `$v1`,
        CAST('51.5' AS DOUBLE) AS `$v2`,
        CAST('-0.12' AS DOUBLE) AS `$v3`
      FROM (
        SELECT
          `c`.*
        FROM `$contacts` AS `c`
      ) AS `s0`
    ) AS `s1`
  ) AS `s2`
)
SELECT
  `$position` AS `id`,
  `leaf1` AND `leaf0` AS `place`
FROM (
  SELECT
    `c`.*
  FROM `$conditions` AS `c`
) AS `a0`

-- sequence(did(visit), did(order, any(tags, element = visit.coupon)))
-- as of 2026-06-15T12:00:00.000000Z, in Asia/Kolkata
-- reads segmentry_contacts: the rows of a frame, with
--   id BIGINT
-- reads segmentry_events_1: the rows of a frame, with
--   at TIMESTAMP
--   contact_id BIGINT
--   coupon STRING
--   event STRING
--   tags ARRAY<STRING>
WITH `$contacts` AS (
  SELECT
    `$key` AS `$position`,
    *
  FROM (
    SELECT
      `id` AS `$key`
    FROM `segmentry_contacts`
  ) AS `c`
), `$events0` AS (
  SELECT
    `c`.`$position`,
    `g`.*
  FROM (
    SELECT
      `$key`,
      COUNT(*) AS `$rows`,
      COLLECT_LIST(
        CASE
          WHEN `$e3` <> 0
          THEN NAMED_STRUCT('$t', `$at`, '$m', `$e3`, '$v0', `tags`, '$v1', `coupon`)
        END
      ) AS `$0.rows11`
    FROM (
      SELECT
        *,
        CASE WHEN `$e1` THEN 1 ELSE 0 END | CASE WHEN `$e2` THEN 2 ELSE 0 END AS `$e3`
      FROM (
        SELECT
          *,
          `$event` = 'visit' AS `$e1`,
          `$event` = 'order' AS `$e2`
        FROM (
          SELECT
            `contact_id` AS `$key`,
            TRY_ADD(
              CAST('1970-01-01' AS TIMESTAMP_NTZ),
              MAKE_DT_INTERVAL(
                CAST(UNIX_MICROS(`at`) DIV 86400000000 AS INT),
                0,
                0,
                CAST(CAST(UNIX_MICROS(`at`) % 86400000000 AS DECIMAL(18, 0)) * CAST('0.000001' AS DECIMAL(6, 6)) AS DECIMAL(18, 6))
              )
            ) AS `$at`,
            NULLIF(`event`, '') AS `$event`,
            NULLIF(`coupon`, '') AS `coupon`,
            `tags`
          FROM `segmentry_events_1`
          WHERE
            (
              `at` <= CAST('2026-06-15 12:00:00.000000+00' AS TIMESTAMP)
            )
            AND (
              `event` IN ('order', 'visit')
            )
        ) AS `s0`
      ) AS `s1`
    ) AS `s2`
    WHERE
      `$at` <= CAST('2026-06-15 12:00:00.000000' AS TIMESTAMP_NTZ)
    GROUP BY
      `$key`
  ) AS `g`
  LEFT JOIN `$contacts` AS `c`
    ON `c`.`$key` = `g`.`$key`
), `$beside11.rows` AS (
  SELECT DISTINCT
    `$position`,
    `$t`,
    `$m`,
    `$v0`,
    `$v1`
  FROM (
    SELECT
      `$position`,
      `$record`.`$t` AS `$t`,
      `$record`.`$m` AS `$m`,
      `$record`.`$v0` AS `$v0`,
      `$record`.`$v1` AS `$v1`
    FROM (
      SELECT
        `$position`,
        EXPLODE(`$0.rows11`) AS `$record`
      FROM `$events0`
      WHERE
        (
          NOT (
            `$position` IS NULL
          )
        )
        AND (
          NOT (
            `$0.rows11` IS NULL
          )
        )
    ) AS `r`
  ) AS `r`
), `$beside11.step0` AS (
  SELECT DISTINCT
    `$position`,
    `$t`,
    `$v1` AS `$of step 0 1`
  FROM `$beside11.rows`
  WHERE
    (
      `$m` & 1
    ) <> 0
), `$beside11.step1` AS (
  SELECT DISTINCT
    `$position`,
    `$now` AS `$t`
  FROM (
    SELECT
      `l`.*,
      `r`.`$t` AS `$now`,
      `r`.`$m` AS `$m`,
      `r`.`$v0` AS `$v0`,
      `r`.`$v1` AS `$v1`
    FROM `$beside11.step0` AS `l`
    JOIN `$beside11.rows` AS `r`
      ON (
        `l`.`$position` = `r`.`$position`
      ) AND (
        `r`.`$t` > `l`.`$t`
      )
  ) AS `s0`
  WHERE
    (
      (
        `$m` & 2
      ) <> 0
    )
    AND (
      CAST(ARRAY_SIZE(FILTER(`$v0`, `$q2__element` -> NULLIF(`$q2__element`, '') = `$of step 0 1`)) AS BIGINT) >= 1
    )
), `$beside11` AS (
  SELECT DISTINCT
    `$position`,
    TRUE AS `$found`
  FROM `$beside11.step1`
), `$conditions` AS (
  SELECT
    `$position`,
    NOT (
      `$beside11.found` IS NULL
    ) AS `leaf0`
  FROM (
    SELECT
      `c`.*,
      `$beside11`.`$found` AS `$beside11.found`
    FROM `$contacts` AS `c`
    LEFT JOIN `$events0`
      ON `$events0`.`$position` = `c`.`$position`
    LEFT JOIN `$beside11`
      ON `$beside11`.`$position` = `c`.`$position`
  ) AS `s0`
)
SELECT
  `$position` AS `id`,
  `leaf0` AS `steps`
FROM (
  SELECT
    `c`.*
  FROM `$conditions` AS `c`
) AS `a0`

-- sum(order.amount, last => '30 days') > 10 and latest(order.coupon) = 'X' and distinct(order.coupon) > 1 and not did(visit)
-- as of 2026-06-15T12:00:00.000000Z, in Asia/Kolkata
-- reads segmentry_contacts: the rows of a frame, with
--   id BIGINT
-- reads segmentry_events_1: the rows of a frame, with
--   amount DOUBLE
--   at TIMESTAMP
--   contact_id BIGINT
--   coupon STRING
--   event STRING
WITH `$contacts` AS (
  SELECT
    `$key` AS `$position`,
    *
  FROM (
    SELECT
      `id` AS `$key`
    FROM `segmentry_contacts`
  ) AS `c`
), `$events0` AS (
  SELECT
    `c`.`$position`,
    `g`.*
  FROM (
    SELECT
      `$key`,
      COUNT(*) AS `$rows`,
      BIT_OR(CASE WHEN `$e1` THEN 1 ELSE 0 END) AS `$0.mask0`,
      COUNT(DISTINCT CASE WHEN `$e2` THEN `coupon` END) AS `$0.count6`,
      MAX_BY(
        `coupon`,
        CASE WHEN `$e2` THEN STRUCT(`$at`, NOT (
          `coupon` IS NULL
        ), `coupon`) END
      ) AS `$0.value9`,
      SUM(CAST(CASE WHEN `$e3` THEN `$e5` END AS DECIMAL(38,0))) AS `$0.sum14`,
      SUM(
        CAST(CASE
          WHEN `$e3`
          THEN TRY_CAST(CONCAT(
            CAST(`$e6` - (
              `$e6` % CAST('10000000000000000000' AS DECIMAL(38,0))
            ) AS STRING),
            'E-19'
          ) AS DECIMAL(38,0))
        END AS DECIMAL(38,0))
      ) AS `$0.high14`,
      SUM(
        CAST(CASE WHEN `$e3` THEN `$e6` % CAST('10000000000000000000' AS DECIMAL(38,0)) END AS DECIMAL(38,0))
      ) AS `$0.low14`,
      BOOL_OR(CASE WHEN `$e3` THEN NOT (
        ABS(`$e4`) <= CAST('1e38' AS DOUBLE)
      ) END) AS `$0.unfit14`
    FROM (
      SELECT
        *,
        CASE WHEN ABS(`$e4`) < 4611686018427387904 THEN CAST(`$e4` AS BIGINT) END AS `$e5`,
        CASE
          WHEN (
            NOT (
              ABS(`$e4`) < 4611686018427387904
            )
          )
          AND (
            ABS(`$e4`) <= CAST('1e38' AS DOUBLE)
          )
          THEN TRY_ADD(
            TRY_MULTIPLY(
              CAST(TRY_CAST(`$e4` / CAST('18446744073709551616' AS DOUBLE) AS BIGINT) AS DECIMAL(38,0)),
              CAST('18446744073709551616' AS DECIMAL(20, 0))
            ),
            TRY_MULTIPLY(
              CAST(TRY_CAST((
                `$e4` % CAST('18446744073709551616' AS DOUBLE)
              ) / CAST('1024' AS DOUBLE) AS BIGINT) AS DECIMAL(38,0)),
              1024
            )
          )
        END AS `$e6`
      FROM (
        SELECT
          *,
          `$event` = 'visit' AS `$e1`,
          `$event` = 'order' AS `$e2`,
          (
            `$event` = 'order'
          )
          AND (
            `$at` >= CAST('2026-05-16 12:00:00.000001' AS TIMESTAMP_NTZ)
          ) AS `$e3`,
          ROUND(`amount` * CAST('1e6' AS DOUBLE)) AS `$e4`
        FROM (
          SELECT
            `contact_id` AS `$key`,
            TRY_ADD(
              CAST('1970-01-01' AS TIMESTAMP_NTZ),
              MAKE_DT_INTERVAL(
                CAST(UNIX_MICROS(`at`) DIV 86400000000 AS INT),
                0,
                0,
                CAST(CAST(UNIX_MICROS(`at`) % 86400000000 AS DECIMAL(18, 0)) * CAST('0.000001' AS DECIMAL(6, 6)) AS DECIMAL(18, 6))
              )
            ) AS `$at`,
            NULLIF(`event`, '') AS `$event`,
            NULLIF(`amount`, CAST('NaN' AS DOUBLE)) AS `amount`,
            NULLIF(`coupon`, '') AS `coupon`
          FROM `segmentry_events_1`
          WHERE
            (
              `at` <= CAST('2026-06-15 12:00:00.000000+00' AS TIMESTAMP)
            )
            AND (
              `event` IN ('order', 'visit')
            )
        ) AS `s0`
      ) AS `s1`
    ) AS `s2`
    WHERE
      `$at` <= CAST('2026-06-15 12:00:00.000000' AS TIMESTAMP_NTZ)
    GROUP BY
      `$key`
  ) AS `g`
  LEFT JOIN `$contacts` AS `c`
    ON `c`.`$key` = `g`.`$key`
), `$conditions` AS (
  SELECT
    `$position`,
    (
      COALESCE(`$0.mask0`, 0) & 1
    ) <> 0 AS `leaf0`,
    COALESCE(`$v1` > 1, FALSE) AS `leaf1`,
    COALESCE(`$0.value9` = 'X', FALSE) AS `leaf2`,
    COALESCE(`$v5` > 10.000000, FALSE) AS `leaf3`
  FROM (
    SELECT
      *,
      CASE
        WHEN NOT COALESCE(`$0.unfit14`, FALSE)
        THEN TRY_CAST(CONCAT(
          CAST(TRY_ADD(
            TRY_MULTIPLY(
              TRY_ADD(
                `$v3`,
                TRY_CAST(CONCAT(
                  CAST(`$v4` - (
                    `$v4` % CAST('10000000000000000000' AS DECIMAL(38,0))
                  ) AS STRING),
                  'E-19'
                ) AS DECIMAL(38,0))
              ),
              CAST('10000000000000000000' AS DECIMAL(38,0))
            ),
            TRY_MOD(`$v4`, CAST('10000000000000000000' AS DECIMAL(38,0)))
          ) AS STRING),
          'E-6'
        ) AS DECIMAL(38, 6))
      END AS `$v5`
    FROM (
      SELECT
        *,
        TRY_ADD(
          COALESCE(`$0.high14`, 0),
          TRY_CAST(CONCAT(
            CAST(`$v2` - (
              `$v2` % CAST('10000000000000000000' AS DECIMAL(38,0))
            ) AS STRING),
            'E-19'
          ) AS DECIMAL(38,0))
        ) AS `$v3`,
        TRY_ADD(
          COALESCE(`$0.low14`, 0),
          TRY_MOD(`$v2`, CAST('10000000000000000000' AS DECIMAL(38,0)))
        ) AS `$v4`
      FROM (
        SELECT
          *,
          COALESCE(`$0.count6`, 0) AS `$v1`,
          COALESCE(`$0.sum14`, 0) AS `$v2`
        FROM (
          SELECT
            `c`.*,
            `$events0`.`$0.mask0`,
            `$events0`.`$0.count6`,
            `$events0`.`$0.value9`,
            `$events0`.`$0.sum14`,
            `$events0`.`$0.high14`,
            `$events0`.`$0.low14`,
            `$events0`.`$0.unfit14`
          FROM `$contacts` AS `c`
          LEFT JOIN `$events0`
            ON `$events0`.`$position` = `c`.`$position`
        ) AS `s0`
      ) AS `s1`
    ) AS `s2`
  ) AS `s3`
)
SELECT
  `$position` AS `id`,
  (
    `leaf3` AND `leaf2`
  ) AND (
    `leaf1` AND (
      NOT `leaf0`
    )
  ) AS `events`
FROM (
  SELECT
    `c`.*
  FROM `$conditions` AS `c`
) AS `a0`
