#include "store/sqlite.h"

#include <sqlite3.h>

#include <utility>

namespace glm::store {
namespace {

constexpr int kBusyTimeMax_ms = 5000;

Errc code_of(int sqlite_code) {
  switch (sqlite_code & 0xFF) {
    case SQLITE_FULL: return Errc::exhausted;
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return Errc::unavailable;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_CANTOPEN: return Errc::permission;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return Errc::corrupt;
    default: return Errc::internal;
  }
}

Error error_of(sqlite3* database) {
  const char* file = database == nullptr ? nullptr : sqlite3_db_filename(database, "main");
  Error error = make_error(code_of(sqlite3_extended_errcode(database)), "index {}: {}",
                           file == nullptr ? "" : file, sqlite3_errmsg(database));
  if (error.code == Errc::corrupt && file != nullptr) {
    error.message += fmt::format(
        "; it is damaged: move {0}, {0}-wal and {0}-shm away (those that are there) and pull your "
        "models again, whose files stay here and are not fetched again",
        file);
  }
  return error;
}

}  // namespace

void SqliteTraits::close(Raw database) { sqlite3_close_v2(database); }
void StatementTraits::close(Raw statement) { sqlite3_finalize(statement); }

Statement& Statement::bind(std::string_view text) {
  sqlite3_bind_text(handle_.get(), next_parameter_++, text.data(), static_cast<int>(text.size()),
                    SQLITE_TRANSIENT);
  return *this;
}

Statement& Statement::bind(std::int64_t number) {
  sqlite3_bind_int64(handle_.get(), next_parameter_++, number);
  return *this;
}

Result<bool> Statement::step() {
  const int code = sqlite3_step(handle_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return error_of(sqlite3_db_handle(handle_.get()));
}

Status Statement::run() {
  while (GLM_TRY(step())) {
  }
  return Ok{};
}

std::string Statement::text(int column) const {
  const auto* bytes = sqlite3_column_text(handle_.get(), column);
  const int size_bytes = sqlite3_column_bytes(handle_.get(), column);
  return bytes == nullptr ? std::string()
                          : std::string(reinterpret_cast<const char*>(bytes),
                                        static_cast<std::size_t>(size_bytes));
}

std::int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(handle_.get(), column);
}

Result<Sqlite> Sqlite::open(const std::filesystem::path& path) {
  Handle<SqliteTraits> handle;
  const int code =
      sqlite3_open_v2(path.c_str(), handle.out(),
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
  if (code != SQLITE_OK) {
    return make_error(code_of(code), "open index {}: {}", path.string(), sqlite3_errstr(code));
  }
  sqlite3_busy_timeout(handle.get(), kBusyTimeMax_ms);
  Sqlite database(std::move(handle));
  GLM_TRY(database.execute("PRAGMA journal_mode=WAL"));
  GLM_TRY(database.execute("PRAGMA synchronous=FULL"));
  GLM_TRY(database.execute("PRAGMA foreign_keys=ON"));
  return database;
}

Result<Statement> Sqlite::prepare(std::string_view sql) {
  Handle<StatementTraits> statement;
  if (sqlite3_prepare_v2(handle_.get(), sql.data(), static_cast<int>(sql.size()), statement.out(),
                         nullptr) != SQLITE_OK) {
    return error_of(handle_.get());
  }
  return Statement(std::move(statement));
}

Status Sqlite::execute(const char* sql) {
  if (sqlite3_exec(handle_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) {
    return error_of(handle_.get());
  }
  return Ok{};
}

Result<Transaction> Transaction::begin(Sqlite& database) {
  GLM_TRY(database.execute("BEGIN IMMEDIATE"));
  return Transaction(database);
}

Transaction::~Transaction() {
  if (database_ != nullptr) (void)database_->execute("ROLLBACK");  // a failed one has rolled back
}

Status Transaction::commit() {
  GLM_TRY(database_->execute("COMMIT"));
  database_ = nullptr;
  return Ok{};
}

}  // namespace glm::store
