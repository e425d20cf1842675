// pgjdbc: the calls that tools make to look around, prepared statements in both of its modes, cursors.
import java.sql.*;
import java.util.*;

public class Jdbc {
    public static void main(String[] words) throws Exception {
        String url = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/"
            + System.getenv("PGDATABASE") + "?user=" + System.getenv("PGUSER") + "&password=" + System.getenv("PGPASSWORD");
        for (String mode : new String[] {"extended", "simple"}) {
            try (Connection db = DriverManager.getConnection(url + "&preferQueryMode=" + mode)) {
                metadata(db);
                statements(db);
            }
        }
    }

    static void check(boolean holds, String what) {
        if (!holds) throw new AssertionError(what);
    }

    static List<String> names(ResultSet rows, String column) throws SQLException {
        List<String> names = new ArrayList<>();
        while (rows.next()) names.add(rows.getString(column));
        return names;
    }

    static void metadata(Connection db) throws SQLException {
        DatabaseMetaData about = db.getMetaData();
        check(about.getDatabaseMajorVersion() == 15, "version");
        List<String> tables = names(about.getTables(null, "public", "%", null), "TABLE_NAME");
        check(tables.contains("events") && tables.contains("offers"), "tables " + tables);
        List<String> views = names(about.getTables(null, "public", "%", new String[] {"VIEW"}), "TABLE_NAME");
        check(views.contains("offers") && !views.contains("events"), "views " + views);
        check(names(about.getSchemas(), "TABLE_SCHEM").contains("public"), "schemas");
        check(names(about.getCatalogs(), "TABLE_CAT").contains(System.getenv("PGDATABASE")), "catalogs");
        try (ResultSet columns = about.getColumns(null, "public", "offers", "%")) {
            Map<String, Integer> types = new HashMap<>();
            while (columns.next()) types.put(columns.getString("COLUMN_NAME"), columns.getInt("DATA_TYPE"));
            check(types.get("account_id") == Types.VARCHAR, "columns " + types);
            check(types.containsValue(Types.TIMESTAMP), "columns " + types);
        }
        check(names(about.getPrimaryKeys(null, "public", "events"), "COLUMN_NAME").isEmpty(), "keys");
        check(names(about.getIndexInfo(null, "public", "events", false, true), "INDEX_NAME").isEmpty(), "indexes");
        check(names(about.getImportedKeys(null, "public", "events"), "FKCOLUMN_NAME").isEmpty(), "foreign keys");
        check(!names(about.getTypeInfo(), "TYPE_NAME").isEmpty(), "types");
        check(!names(about.getTableTypes(), "TABLE_TYPE").isEmpty(), "kinds of tables");
        about.getFunctions(null, "public", "%").close();
    }

    static void statements(Connection db) throws SQLException {
        String account;
        try (Statement ask = db.createStatement(); ResultSet rows = ask.executeQuery("SELECT min(account_id) FROM events")) {
            check(rows.next(), "a row");
            account = rows.getString(1);
        }
        String query = "SELECT count(*), max(event_time) FROM events WHERE account_id = ? AND event_time > ? AND event_date < ?";
        try (PreparedStatement ask = db.prepareStatement(query)) {
            // From the sixth time on the driver has it prepared, and takes the binary form.
            for (int run = 0; run < 7; run++) {
                ask.setString(1, account);
                ask.setTimestamp(2, Timestamp.valueOf("2024-01-01 00:00:00"));
                ask.setDate(3, java.sql.Date.valueOf("2030-01-01"));
                try (ResultSet rows = ask.executeQuery()) {
                    check(rows.next() && rows.getLong(1) > 0, "rows of the account");
                    check(rows.getTimestamp(2).after(Timestamp.valueOf("2024-01-01 00:00:00")), "a time");
                }
            }
        }
        try (PreparedStatement ask = db.prepareStatement("SELECT ? + 1, ?::text, ?")) {
            ask.setLong(1, 41);
            ask.setString(2, "x");
            ask.setDouble(3, 0.5);
            try (ResultSet rows = ask.executeQuery()) {
                check(rows.next() && rows.getLong(1) == 42 && rows.getDouble(3) == 0.5, "values");
            }
        }
        db.setAutoCommit(false);
        try (Statement ask = db.createStatement()) {
            ask.setFetchSize(700);
            int count = 0;
            try (ResultSet rows = ask.executeQuery("SELECT value FROM range(0, 3000)")) {
                while (rows.next()) count++;
            }
            check(count == 3000, "rows in parts: " + count);
        }
        Savepoint before = db.setSavepoint();
        try (Statement ask = db.createStatement()) {
            ask.executeQuery("SELECT no_such_column FROM events");
            check(false, "no error");
        } catch (SQLException error) {
            check(error.getSQLState().equals("42703"), error.getSQLState());
        }
        db.rollback(before);
        db.commit();
        db.setAutoCommit(true);
        try (Statement ask = db.createStatement()) {
            ask.setQueryTimeout(1);
            ask.executeQuery("SELECT count(*) FROM events a, events b, events c, events d WHERE a.event_time < d.event_time");
            check(false, "no timeout");
        } catch (SQLException error) {
            check(error.getSQLState().equals("57014"), error.getSQLState());
        }
    }
}
