/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "probes/queue/sql.h"

/* What is said through ODBC, by what the driver says that it speaks to. */
const struct sql_dialect odbc_dialects[] = {
    {
        .name = "Microsoft SQL Server",
        .quote = "[",
        .unquote = "]",
        .top = "TOP (",
        .top_end = ") ",
        /* what a worker has locked is passed over, not waited for */
        .hint = " WITH (READPAST)",
        .writes = "BEGIN TRANSACTION",
        .now = "SYSUTCDATETIME()",
        .now_zoned = "SYSDATETIMEOFFSET()",
        .ms = "DATEDIFF_BIG(MILLISECOND,'1970-01-01',",
        .ms_end = ")",
        .zone = "CAST(",
        .between = " AT TIME ZONE 'UTC' AT TIME ZONE ",
        .zoned = " AS DATETIME2)",
        .as_text = "CAST(",
        .as_text_end = " AS NVARCHAR(MAX))",
        .as_hex = "CONVERT(VARCHAR(MAX),SUBSTRING(",
        .as_hex_end = ",1,4096),2)",
        .octets = "DATALENGTH(",
        .output = " OUTPUT INSERTED.",
        .tables = "SELECT TOP (5000) TABLE_NAME,CASE WHEN "
                  "TABLE_SCHEMA=COALESCE(NULLIF(?,''),SCHEMA_NAME()) THEN "
                  "'' ELSE TABLE_SCHEMA END FROM INFORMATION_SCHEMA.TABLES",
        .sessions = "SELECT CAST(COALESCE(HAS_PERMS_BY_NAME(NULL,NULL,"
                    "'VIEW SERVER STATE'),0) AS NVARCHAR(400)) AS who,'' AS "
                    "host UNION ALL SELECT TOP (256) CONCAT(login_name,' ',"
                    "session_id,' ',program_name),host_name FROM "
                    "sys.dm_exec_sessions WHERE is_user_process=1 AND "
                    "database_id=DB_ID() AND session_id<>@@SPID",
        .procedure = "SELECT COALESCE(OBJECT_DEFINITION(object_id),'') FROM "
                     "sys.procedures WHERE object_id=OBJECT_ID(?,'P')",
    },
    {
        .name = "PostgreSQL",
        .quote = "\"",
        .unquote = "\"",
        .limit = " LIMIT ",
        .hint = "",
        .begin = "BEGIN READ ONLY",
        .writes = "BEGIN",
        .now = "(clock_timestamp() AT TIME ZONE 'UTC')",
        .now_zoned = "clock_timestamp()",
        .ms = "CAST(1000*EXTRACT(EPOCH FROM ",
        .ms_end = ") AS BIGINT)",
        .zone = "(",
        .between = " AT TIME ZONE 'UTC' AT TIME ZONE ",
        .zoned = ")",
        .as_text = "CAST(",
        .as_text_end = " AS TEXT)",
        .as_hex = "encode(substr(",
        .as_hex_end = ",1,4096),'hex')",
        .octets = "octet_length(",
        .returning = " RETURNING ",
        .tables =
            "SELECT table_name,CASE WHEN table_schema=COALESCE("
            "NULLIF(CAST(? AS TEXT),''),current_schema()) THEN '' "
            "ELSE table_schema END FROM information_schema.tables "
            "WHERE table_schema NOT IN ('pg_catalog','information_schema') LIMIT 5000",
        .sessions = "SELECT '1' AS who,'' AS host UNION ALL SELECT "
                    "usename||' '||pid,coalesce(host(client_addr),'') FROM "
                    "pg_stat_activity WHERE datname=current_database() AND "
                    "pid<>pg_backend_pid() AND backend_type='client backend'",
        .procedure = "SELECT prosrc FROM pg_proc WHERE proname=CAST(? AS "
                     "TEXT) LIMIT 1",
    },
    {
        .name = "SQLite",
        .quote = "\"",
        .unquote = "\"",
        .limit = " LIMIT ",
        .hint = "",
        .begin = "BEGIN",
        .writes = "BEGIN IMMEDIATE",
        .now = "strftime('%Y-%m-%d %H:%M:%f','now')",
        .now_zoned = "strftime('%Y-%m-%d %H:%M:%f','now')",
        .ms = "CAST(round((julianday(",
        .ms_end = ")-2440587.5)*86400000) AS INTEGER)",
        .as_text = "CAST(",
        .as_text_end = " AS TEXT)",
        .as_hex = "hex(substr(",
        .as_hex_end = ",1,4096))",
        .octets = "length(",
        .returning = " RETURNING ",
        .tables = "SELECT name,'' FROM sqlite_master WHERE ? IS NOT NULL "
                  "AND type IN ('table','view') LIMIT 5000",
    },
};
const size_t odbc_dialects_count = ARRAY_LEN(odbc_dialects);
