-- What hana would be sent. Compile-tested: no server was ever asked.

-- after connecting
SET TRANSACTION LOCK WAIT TIMEOUT 10000;

-- clock
SELECT CURRENT_UTCTIMESTAMP AS clock_at FROM DUMMY;

-- horizon
SELECT NANO100_BETWEEN(t.START_TIME, CURRENT_TIMESTAMP) / 10000000 AS age_seconds,
    'connection ' || t.CONNECTION_ID AS holder
FROM SYS.M_TRANSACTIONS t
WHERE t.TRANSACTION_TYPE = 'USER TRANSACTION'
    AND t.TRANSACTION_STATUS <> 'INACTIVE'
    AND t.CONNECTION_ID <> CURRENT_CONNECTION
ORDER BY t.START_TIME
LIMIT 1;

-- open the view
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
SET TRANSACTION READ ONLY;

-- close the view
ROLLBACK;

-- read everything
SELECT "erp"."orders"."id" AS c0, "erp"."orders"."line" AS c1, "erp"."orders"."CHANGED" AS c2
FROM "erp"."orders";

-- read a window
SELECT "erp"."orders"."id" AS c0, "erp"."orders"."line" AS c1, "erp"."orders"."CHANGED" AS c2
FROM "erp"."orders"
WHERE "erp"."orders"."CHANGED" >= TO_DATE('2026-01-31', 'YYYY-MM-DD') AND "erp"."orders"."CHANGED" < TO_DATE('2026-02-01', 'YYYY-MM-DD') ORDER BY "erp"."orders"."CHANGED", "erp"."orders"."id", "erp"."orders"."line";

-- read the first rows
SELECT "erp"."orders"."id" AS c0, "erp"."orders"."line" AS c1, "erp"."orders"."CHANGED" AS c2
FROM "erp"."orders"
WHERE "erp"."orders"."CHANGED" >= TO_DATE('2026-01-31', 'YYYY-MM-DD') AND "erp"."orders"."CHANGED" < TO_DATE('2026-02-01', 'YYYY-MM-DD') ORDER BY "erp"."orders"."CHANGED", "erp"."orders"."id", "erp"."orders"."line"
 LIMIT 10;

-- count rows without a cursor
SELECT count(*) AS count_1
FROM "erp"."orders"
WHERE "erp"."orders"."CHANGED" IS NULL;

-- count rows of the future
SELECT count(*) AS count_1
FROM "erp"."orders"
WHERE "erp"."orders"."CHANGED" > TO_DATE('2026-02-01', 'YYYY-MM-DD');

-- greatest cursor
SELECT max("erp"."orders"."id") AS max_1
FROM "erp"."orders";

-- first row of the future
SELECT "erp"."orders"."id" AS k0, "erp"."orders"."line" AS k1
FROM "erp"."orders"
WHERE "erp"."orders"."CHANGED" > TO_DATE('2026-02-01', 'YYYY-MM-DD') ORDER BY "erp"."orders"."CHANGED", "erp"."orders"."id", "erp"."orders"."line"
 LIMIT 1;

-- keys that occur twice
SELECT "erp"."orders"."id" AS k0, "erp"."orders"."line" AS k1
FROM "erp"."orders"
WHERE "erp"."orders"."CHANGED" >= TO_DATE('2026-01-31', 'YYYY-MM-DD') AND "erp"."orders"."CHANGED" < TO_DATE('2026-02-01', 'YYYY-MM-DD') AND "erp"."orders"."id" IS NOT NULL AND "erp"."orders"."line" IS NOT NULL GROUP BY "erp"."orders"."id", "erp"."orders"."line"
HAVING count(*) > 1 ORDER BY "erp"."orders"."id", "erp"."orders"."line"
 LIMIT 3;

-- all keys, for deletes
SELECT "erp"."orders"."id" AS c0, "erp"."orders"."line" AS c1
FROM "erp"."orders";

-- window by DATE
SELECT "erp"."orders"."CHANGED" AS c0
FROM "erp"."orders"
WHERE "erp"."orders"."CHANGED" >= TO_DATE('2026-01-31', 'YYYY-MM-DD') AND "erp"."orders"."CHANGED" < TO_DATE('2026-02-01', 'YYYY-MM-DD') ORDER BY "erp"."orders"."CHANGED";

-- window by SECONDDATE
SELECT "erp"."orders"."CHANGED" AS c0
FROM "erp"."orders"
WHERE "erp"."orders"."CHANGED" >= TO_SECONDDATE('2026-01-31 09:59:59', 'YYYY-MM-DD HH24:MI:SS') AND "erp"."orders"."CHANGED" < TO_SECONDDATE('2026-02-01 00:00:00', 'YYYY-MM-DD HH24:MI:SS') ORDER BY "erp"."orders"."CHANGED";

-- window by TIMESTAMP
SELECT "erp"."orders"."CHANGED" AS c0
FROM "erp"."orders"
WHERE "erp"."orders"."CHANGED" >= TO_TIMESTAMP('2026-01-31 09:59:59.999999', 'YYYY-MM-DD HH24:MI:SS.FF6') AND "erp"."orders"."CHANGED" < TO_TIMESTAMP('2026-02-01 00:00:00.123456', 'YYYY-MM-DD HH24:MI:SS.FF6') ORDER BY "erp"."orders"."CHANGED";

-- window by BIGINT
SELECT "erp"."orders"."CHANGED" AS c0
FROM "erp"."orders"
WHERE "erp"."orders"."CHANGED" >= 2001 AND "erp"."orders"."CHANGED" < 9223372036854775808 ORDER BY "erp"."orders"."CHANGED";

-- names that look like something else
SELECT "my.sch""ema"."order by"."a.b]""; --" AS c0, "my.sch""ema"."order by"."select" AS c1, "my.sch""ema"."order by"."100% :x ? {ts" AS c2, "my.sch""ema"."order by"."naïve 🧾" AS c3
FROM "my.sch""ema"."order by"
 LIMIT 5;
