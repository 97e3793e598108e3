-- What db2 would be sent. Compile-tested: no server was ever asked.

-- after connecting
SET CURRENT LOCK TIMEOUT 10;
SET CURRENT ISOLATION = CS;

-- clock
SELECT CURRENT TIMESTAMP - CURRENT TIMEZONE AS clock_at FROM SYSIBM.SYSDUMMY1;

-- horizon
SELECT (DAYS(CURRENT TIMESTAMP) - DAYS(u.UOW_START_TIME)) * 86400
        + MIDNIGHT_SECONDS(CURRENT TIMESTAMP) - MIDNIGHT_SECONDS(u.UOW_START_TIME) + 1 AS age_seconds,
    'application ' || VARCHAR(u.APPLICATION_HANDLE) AS holder
FROM TABLE(MON_GET_UNIT_OF_WORK(NULL, -2)) AS u
WHERE u.UOW_START_TIME IS NOT NULL
    AND u.UOW_STOP_TIME IS NULL
    AND u.APPLICATION_HANDLE <> MON_GET_APPLICATION_HANDLE()
ORDER BY u.UOW_START_TIME
FETCH FIRST 1 ROWS ONLY;

-- close the view
ROLLBACK;

-- read everything
SELECT "erp"."orders"."id" AS c0, "erp"."orders"."line" AS c1, "erp"."orders"."CHANGED" AS c2
FROM "erp"."orders";

-- read a window
SELECT "erp"."orders"."id" AS c0, "erp"."orders"."line" AS c1, "erp"."orders"."CHANGED" AS c2
FROM "erp"."orders"
WHERE "erp"."orders"."CHANGED" >= CAST('2026-01-31' AS DATE) AND "erp"."orders"."CHANGED" < CAST('2026-02-01' AS DATE) ORDER BY "erp"."orders"."CHANGED", "erp"."orders"."id", "erp"."orders"."line";

-- read the first rows
SELECT "erp"."orders"."id" AS c0, "erp"."orders"."line" AS c1, "erp"."orders"."CHANGED" AS c2
FROM "erp"."orders"
WHERE "erp"."orders"."CHANGED" >= CAST('2026-01-31' AS DATE) AND "erp"."orders"."CHANGED" < CAST('2026-02-01' AS DATE) ORDER BY "erp"."orders"."CHANGED", "erp"."orders"."id", "erp"."orders"."line"
 FETCH FIRST 10 ROWS ONLY;

-- count rows without a cursor
SELECT count_big(*) AS count_1
FROM "erp"."orders"
WHERE "erp"."orders"."CHANGED" IS NULL;

-- count rows of the future
SELECT count_big(*) AS count_1
FROM "erp"."orders"
WHERE "erp"."orders"."CHANGED" > CAST('2026-02-01' AS DATE);

-- greatest cursor
SELECT max("erp"."orders"."id") AS max_1
FROM "erp"."orders";

-- first row of the future
SELECT "erp"."orders"."id" AS k0, "erp"."orders"."line" AS k1
FROM "erp"."orders"
WHERE "erp"."orders"."CHANGED" > CAST('2026-02-01' AS DATE) ORDER BY "erp"."orders"."CHANGED", "erp"."orders"."id", "erp"."orders"."line"
 FETCH FIRST 1 ROWS ONLY;

-- keys that occur twice
SELECT "erp"."orders"."id" AS k0, "erp"."orders"."line" AS k1
FROM "erp"."orders"
WHERE "erp"."orders"."CHANGED" >= CAST('2026-01-31' AS DATE) AND "erp"."orders"."CHANGED" < CAST('2026-02-01' AS DATE) AND "erp"."orders"."id" IS NOT NULL AND "erp"."orders"."line" IS NOT NULL GROUP BY "erp"."orders"."id", "erp"."orders"."line"
HAVING count_big(*) > 1 ORDER BY "erp"."orders"."id", "erp"."orders"."line"
 FETCH FIRST 3 ROWS ONLY;

-- all keys, for deletes
SELECT "erp"."orders"."id" AS c0, "erp"."orders"."line" AS c1
FROM "erp"."orders";

-- window by DATE
SELECT "erp"."orders"."CHANGED" AS c0
FROM "erp"."orders"
WHERE "erp"."orders"."CHANGED" >= CAST('2026-01-31' AS DATE) AND "erp"."orders"."CHANGED" < CAST('2026-02-01' AS DATE) ORDER BY "erp"."orders"."CHANGED";

-- window by TIMESTAMP(6)
SELECT "erp"."orders"."CHANGED" AS c0
FROM "erp"."orders"
WHERE "erp"."orders"."CHANGED" >= CAST('2026-01-31-09.59.59.999999' AS TIMESTAMP(6)) AND "erp"."orders"."CHANGED" < CAST('2026-02-01-00.00.00.123456' AS TIMESTAMP(6)) ORDER BY "erp"."orders"."CHANGED";

-- window by TIMESTAMP(0)
SELECT "erp"."orders"."CHANGED" AS c0
FROM "erp"."orders"
WHERE "erp"."orders"."CHANGED" >= CAST('2026-01-31-09.59.59' AS TIMESTAMP(0)) AND "erp"."orders"."CHANGED" < CAST('2026-02-01-00.00.00' AS TIMESTAMP(0)) ORDER BY "erp"."orders"."CHANGED";

-- window by BIGINT
SELECT "erp"."orders"."CHANGED" AS c0
FROM "erp"."orders"
WHERE "erp"."orders"."CHANGED" >= 2001 AND "erp"."orders"."CHANGED" < 9223372036854775808 ORDER BY "erp"."orders"."CHANGED";

-- names that look like something else
SELECT "my.sch""ema"."order by"."a.b]""; --" AS c0, "my.sch""ema"."order by"."select" AS c1, "my.sch""ema"."order by"."100% :x ? {ts" AS c2, "my.sch""ema"."order by"."naïve 🧾" AS c3
FROM "my.sch""ema"."order by"
 FETCH FIRST 5 ROWS ONLY;
