-- What mssql would be sent. Compile-tested: no server was ever asked.

-- after connecting
SET LOCK_TIMEOUT 10000;
SET DEADLOCK_PRIORITY LOW;

-- clock
SELECT SYSUTCDATETIME() AS clock_at;

-- horizon
SELECT TOP 1 DATEDIFF_BIG(MILLISECOND, t.transaction_begin_time, SYSDATETIME()) / 1000.0 AS age_seconds,
    CONCAT('session ', s.session_id, ' (', s.login_name, ', ', s.program_name, ')') AS holder
FROM sys.dm_tran_active_transactions AS t
LEFT JOIN sys.dm_tran_session_transactions AS x ON x.transaction_id = t.transaction_id
LEFT JOIN sys.dm_exec_sessions AS s ON s.session_id = x.session_id
WHERE t.transaction_type IN (1, 4)
    AND (s.session_id IS NULL OR s.session_id <> @@SPID)
    AND NOT (COALESCE(s.program_name, '') LIKE 'dpp/%' AND s.login_name = SUSER_SNAME())
ORDER BY t.transaction_begin_time;

-- horizon of a row counter
SELECT CAST(MIN_ACTIVE_ROWVERSION() AS BIGINT) AS high;

-- open the view
SET TRANSACTION ISOLATION LEVEL SNAPSHOT;
BEGIN TRANSACTION;

-- close the view
ROLLBACK TRANSACTION;

-- read everything
SELECT [erp].[orders].[id] AS c0, [erp].[orders].[line] AS c1, [erp].[orders].[changed] AS c2
FROM [erp].[orders];

-- read a window
SELECT [erp].[orders].[id] AS c0, [erp].[orders].[line] AS c1, [erp].[orders].[changed] AS c2
FROM [erp].[orders]
WHERE [erp].[orders].[changed] >= CONVERT(DATETIME, '2026-01-31T09:59:59.997', 126) AND [erp].[orders].[changed] < CONVERT(DATETIME, '2026-02-01T00:00:00.123', 126) ORDER BY [erp].[orders].[changed], [erp].[orders].[id], [erp].[orders].[line];

-- read the first rows
SELECT TOP 10 [erp].[orders].[id] AS c0, [erp].[orders].[line] AS c1, [erp].[orders].[changed] AS c2
FROM [erp].[orders]
WHERE [erp].[orders].[changed] >= CONVERT(DATETIME, '2026-01-31T09:59:59.997', 126) AND [erp].[orders].[changed] < CONVERT(DATETIME, '2026-02-01T00:00:00.123', 126) ORDER BY [erp].[orders].[changed], [erp].[orders].[id], [erp].[orders].[line];

-- count rows without a cursor
SELECT count_big(*) AS count_1
FROM [erp].[orders]
WHERE [erp].[orders].[changed] IS NULL;

-- count rows of the future
SELECT count_big(*) AS count_1
FROM [erp].[orders]
WHERE [erp].[orders].[changed] > CONVERT(DATETIME, '2026-02-01T00:00:00.123', 126);

-- greatest cursor
SELECT max([erp].[orders].[id]) AS max_1
FROM [erp].[orders];

-- first row of the future
SELECT TOP 1 [erp].[orders].[id] AS k0, [erp].[orders].[line] AS k1
FROM [erp].[orders]
WHERE [erp].[orders].[changed] > CONVERT(DATETIME, '2026-02-01T00:00:00.123', 126) ORDER BY [erp].[orders].[changed], [erp].[orders].[id], [erp].[orders].[line];

-- keys that occur twice
SELECT TOP 3 [erp].[orders].[id] AS k0, [erp].[orders].[line] AS k1
FROM [erp].[orders]
WHERE [erp].[orders].[changed] >= CONVERT(DATETIME, '2026-01-31T09:59:59.997', 126) AND [erp].[orders].[changed] < CONVERT(DATETIME, '2026-02-01T00:00:00.123', 126) AND [erp].[orders].[id] IS NOT NULL AND [erp].[orders].[line] IS NOT NULL GROUP BY [erp].[orders].[id], [erp].[orders].[line]
HAVING count_big(*) > 1 ORDER BY [erp].[orders].[id], [erp].[orders].[line];

-- all keys, for deletes
SELECT [erp].[orders].[id] AS c0, [erp].[orders].[line] AS c1
FROM [erp].[orders];

-- window by datetime
SELECT [erp].[orders].[changed] AS c0
FROM [erp].[orders]
WHERE [erp].[orders].[changed] >= CONVERT(DATETIME, '2026-01-31T09:59:59.997', 126) AND [erp].[orders].[changed] < CONVERT(DATETIME, '2026-02-01T00:00:00.123', 126) ORDER BY [erp].[orders].[changed];

-- window by smalldatetime
SELECT [erp].[orders].[changed] AS c0
FROM [erp].[orders]
WHERE [erp].[orders].[changed] >= CONVERT(SMALLDATETIME, '2026-01-31T09:59:00', 126) AND [erp].[orders].[changed] < CONVERT(SMALLDATETIME, '2026-02-01T00:00:00', 126) ORDER BY [erp].[orders].[changed];

-- window by datetime2(7)
SELECT [erp].[orders].[changed] AS c0
FROM [erp].[orders]
WHERE [erp].[orders].[changed] >= CAST('2026-01-31T09:59:59.999999' AS DATETIME2(6)) AND [erp].[orders].[changed] < CAST('2026-02-01T00:00:00.123456' AS DATETIME2(6)) ORDER BY [erp].[orders].[changed];

-- window by datetime2(3)
SELECT [erp].[orders].[changed] AS c0
FROM [erp].[orders]
WHERE [erp].[orders].[changed] >= CAST('2026-01-31T09:59:59.999' AS DATETIME2(3)) AND [erp].[orders].[changed] < CAST('2026-02-01T00:00:00.123' AS DATETIME2(3)) ORDER BY [erp].[orders].[changed];

-- window by datetimeoffset(7)
SELECT [erp].[orders].[changed] AS c0
FROM [erp].[orders]
WHERE [erp].[orders].[changed] >= CAST('2026-01-31T09:59:59.999999+00:00' AS DATETIMEOFFSET(6)) AND [erp].[orders].[changed] < CAST('2026-02-01T00:00:00.123456+00:00' AS DATETIMEOFFSET(6)) ORDER BY [erp].[orders].[changed];

-- window by date
SELECT [erp].[orders].[changed] AS c0
FROM [erp].[orders]
WHERE [erp].[orders].[changed] >= CAST('2026-01-31' AS DATE) AND [erp].[orders].[changed] < CAST('2026-02-01' AS DATE) ORDER BY [erp].[orders].[changed];

-- window by rowversion
SELECT CAST([erp].[orders].[changed] AS BIGINT) AS c0
FROM [erp].[orders]
WHERE [erp].[orders].[changed] >= 0x00000000000007D1 AND [erp].[orders].[changed] < 0x8000000000000000 ORDER BY [erp].[orders].[changed];

-- window by bigint
SELECT [erp].[orders].[changed] AS c0
FROM [erp].[orders]
WHERE [erp].[orders].[changed] >= 2001 AND [erp].[orders].[changed] < 9223372036854775808 ORDER BY [erp].[orders].[changed];

-- names that look like something else
SELECT TOP 5 [my.sch"ema].[order by].[a.b]]"; --] AS c0, [my.sch"ema].[order by].[select] AS c1, [my.sch"ema].[order by].[100% :x ? {ts] AS c2, [my.sch"ema].[order by].[naïve 🧾] AS c3
FROM [my.sch"ema].[order by];
