-- What oracle would be sent. Compile-tested: no server was ever asked.

-- clock
SELECT SYS_EXTRACT_UTC(SYSTIMESTAMP) AS clock_at FROM DUAL;

-- horizon
SELECT (SYSDATE - t.START_DATE) * 86400 AS age_seconds,
    'transaction ' || t.XIDUSN || '.' || t.XIDSLOT || '.' || t.XIDSQN AS holder
FROM SYS.GV_$TRANSACTION t
ORDER BY t.START_DATE
FETCH FIRST 1 ROWS ONLY;

-- open the view
SET TRANSACTION READ ONLY;

-- close the view
ROLLBACK;

-- read everything
SELECT "erp"."orders"."id" AS c0, "erp"."orders"."line" AS c1, "erp"."orders"."CHANGED" AS c2
FROM "erp"."orders";

-- read a window
SELECT "erp"."orders"."id" AS c0, "erp"."orders"."line" AS c1, "erp"."orders"."CHANGED" AS c2
FROM "erp"."orders"
WHERE "erp"."orders"."CHANGED" >= CAST(TIMESTAMP '2026-01-31 09:59:59' AS DATE) AND "erp"."orders"."CHANGED" < CAST(TIMESTAMP '2026-02-01 00:00:00' AS DATE) ORDER BY "erp"."orders"."CHANGED", "erp"."orders"."id", "erp"."orders"."line";

-- read the first rows
SELECT "erp"."orders"."id" AS c0, "erp"."orders"."line" AS c1, "erp"."orders"."CHANGED" AS c2
FROM "erp"."orders"
WHERE "erp"."orders"."CHANGED" >= CAST(TIMESTAMP '2026-01-31 09:59:59' AS DATE) AND "erp"."orders"."CHANGED" < CAST(TIMESTAMP '2026-02-01 00:00:00' AS DATE) ORDER BY "erp"."orders"."CHANGED", "erp"."orders"."id", "erp"."orders"."line"
 FETCH FIRST 10 ROWS ONLY;

-- count rows without a cursor
SELECT count(*) AS count_1
FROM "erp"."orders"
WHERE "erp"."orders"."CHANGED" IS NULL;

-- count rows of the future
SELECT count(*) AS count_1
FROM "erp"."orders"
WHERE "erp"."orders"."CHANGED" > CAST(TIMESTAMP '2026-02-01 00:00:00' AS DATE);

-- greatest cursor
SELECT max("erp"."orders"."id") AS max_1
FROM "erp"."orders";

-- first row of the future
SELECT "erp"."orders"."id" AS k0, "erp"."orders"."line" AS k1
FROM "erp"."orders"
WHERE "erp"."orders"."CHANGED" > CAST(TIMESTAMP '2026-02-01 00:00:00' AS DATE) ORDER BY "erp"."orders"."CHANGED", "erp"."orders"."id", "erp"."orders"."line"
 FETCH FIRST 1 ROWS ONLY;

-- keys that occur twice
SELECT "erp"."orders"."id" AS k0, "erp"."orders"."line" AS k1
FROM "erp"."orders"
WHERE "erp"."orders"."CHANGED" >= CAST(TIMESTAMP '2026-01-31 09:59:59' AS DATE) AND "erp"."orders"."CHANGED" < CAST(TIMESTAMP '2026-02-01 00:00:00' AS DATE) AND "erp"."orders"."id" IS NOT NULL AND "erp"."orders"."line" IS NOT NULL GROUP BY "erp"."orders"."id", "erp"."orders"."line"
HAVING count(*) > 1 ORDER BY "erp"."orders"."id", "erp"."orders"."line"
 FETCH FIRST 3 ROWS ONLY;

-- all keys, for deletes
SELECT "erp"."orders"."id" AS c0, "erp"."orders"."line" AS c1
FROM "erp"."orders";

-- window by DATE
SELECT "erp"."orders"."CHANGED" AS c0
FROM "erp"."orders"
WHERE "erp"."orders"."CHANGED" >= CAST(TIMESTAMP '2026-01-31 09:59:59' AS DATE) AND "erp"."orders"."CHANGED" < CAST(TIMESTAMP '2026-02-01 00:00:00' AS DATE) ORDER BY "erp"."orders"."CHANGED";

-- window by TIMESTAMP(6)
SELECT "erp"."orders"."CHANGED" AS c0
FROM "erp"."orders"
WHERE "erp"."orders"."CHANGED" >= TIMESTAMP '2026-01-31 09:59:59.999999' AND "erp"."orders"."CHANGED" < TIMESTAMP '2026-02-01 00:00:00.123456' ORDER BY "erp"."orders"."CHANGED";

-- window by TIMESTAMP(3) WITH TIME ZONE
SELECT "erp"."orders"."CHANGED" AS c0
FROM "erp"."orders"
WHERE "erp"."orders"."CHANGED" >= TIMESTAMP '2026-01-31 09:59:59.999 +00:00' AND "erp"."orders"."CHANGED" < TIMESTAMP '2026-02-01 00:00:00.123 +00:00' ORDER BY "erp"."orders"."CHANGED";

-- window by TIMESTAMP(6) WITH LOCAL TIME ZONE
SELECT "erp"."orders"."CHANGED" AS c0
FROM "erp"."orders"
WHERE "erp"."orders"."CHANGED" >= TIMESTAMP '2026-01-31 09:59:59.999999 +00:00' AND "erp"."orders"."CHANGED" < TIMESTAMP '2026-02-01 00:00:00.123456 +00:00' ORDER BY "erp"."orders"."CHANGED";

-- window by NUMBER(12,0)
SELECT "erp"."orders"."CHANGED" AS c0
FROM "erp"."orders"
WHERE "erp"."orders"."CHANGED" >= 2001 AND "erp"."orders"."CHANGED" < 9223372036854775808 ORDER BY "erp"."orders"."CHANGED";

-- names that look like something else
SELECT "my.schema"."order by"."a.b]; --" AS c0, "my.schema"."order by"."select" AS c1, "my.schema"."order by"."100% :x ? {ts" AS c2, "my.schema"."order by"."naïve 🧾" AS c3
FROM "my.schema"."order by"
 FETCH FIRST 5 ROWS ONLY;
