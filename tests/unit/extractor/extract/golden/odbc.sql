-- What odbc would be sent. Compile-tested: no server was ever asked.

-- clock
SELECT {fn NOW()} AS clock_at;

-- read everything
SELECT "erp"."orders"."id" AS c0, "erp"."orders"."line" AS c1, "erp"."orders"."changed" AS c2
FROM "erp"."orders";

-- read a window
SELECT "erp"."orders"."id" AS c0, "erp"."orders"."line" AS c1, "erp"."orders"."changed" AS c2
FROM "erp"."orders"
WHERE "erp"."orders"."changed" >= {d '2026-01-31'} AND "erp"."orders"."changed" < {d '2026-02-01'} ORDER BY "erp"."orders"."changed", "erp"."orders"."id", "erp"."orders"."line";

-- read the first rows
SELECT "erp"."orders"."id" AS c0, "erp"."orders"."line" AS c1, "erp"."orders"."changed" AS c2
FROM "erp"."orders"
WHERE "erp"."orders"."changed" >= {d '2026-01-31'} AND "erp"."orders"."changed" < {d '2026-02-01'} ORDER BY "erp"."orders"."changed", "erp"."orders"."id", "erp"."orders"."line";

-- count rows without a cursor
SELECT count(*) AS count_1
FROM "erp"."orders"
WHERE "erp"."orders"."changed" IS NULL;

-- count rows of the future
SELECT count(*) AS count_1
FROM "erp"."orders"
WHERE "erp"."orders"."changed" > {d '2026-02-01'};

-- greatest cursor
SELECT max("erp"."orders"."id") AS max_1
FROM "erp"."orders";

-- first row of the future
SELECT "erp"."orders"."id" AS k0, "erp"."orders"."line" AS k1
FROM "erp"."orders"
WHERE "erp"."orders"."changed" > {d '2026-02-01'} ORDER BY "erp"."orders"."changed", "erp"."orders"."id", "erp"."orders"."line";

-- keys that occur twice
SELECT "erp"."orders"."id" AS k0, "erp"."orders"."line" AS k1
FROM "erp"."orders"
WHERE "erp"."orders"."changed" >= {d '2026-01-31'} AND "erp"."orders"."changed" < {d '2026-02-01'} AND "erp"."orders"."id" IS NOT NULL AND "erp"."orders"."line" IS NOT NULL GROUP BY "erp"."orders"."id", "erp"."orders"."line"
HAVING count(*) > 1 ORDER BY "erp"."orders"."id", "erp"."orders"."line";

-- all keys, for deletes
SELECT "erp"."orders"."id" AS c0, "erp"."orders"."line" AS c1
FROM "erp"."orders";

-- window by DATE
SELECT "erp"."orders"."changed" AS c0
FROM "erp"."orders"
WHERE "erp"."orders"."changed" >= {d '2026-01-31'} AND "erp"."orders"."changed" < {d '2026-02-01'} ORDER BY "erp"."orders"."changed";

-- window by TIMESTAMP
SELECT "erp"."orders"."changed" AS c0
FROM "erp"."orders"
WHERE "erp"."orders"."changed" >= {ts '2026-01-31 09:59:59.999'} AND "erp"."orders"."changed" < {ts '2026-02-01 00:00:00.123'} ORDER BY "erp"."orders"."changed";

-- window by DATETIME YEAR TO SECOND
SELECT "erp"."orders"."changed" AS c0
FROM "erp"."orders"
WHERE "erp"."orders"."changed" >= {ts '2026-01-31 09:59:59'} AND "erp"."orders"."changed" < {ts '2026-02-01 00:00:00'} ORDER BY "erp"."orders"."changed";

-- window by INTEGER
SELECT "erp"."orders"."changed" AS c0
FROM "erp"."orders"
WHERE "erp"."orders"."changed" >= 2001 AND "erp"."orders"."changed" < 9223372036854775808 ORDER BY "erp"."orders"."changed";

-- names that look like something else
SELECT "my.sch""ema"."order by"."a.b]""; --" AS c0, "my.sch""ema"."order by"."select" AS c1, "my.sch""ema"."order by"."100% :x ? {ts" AS c2, "my.sch""ema"."order by"."naïve 🧾" AS c3
FROM "my.sch""ema"."order by";
