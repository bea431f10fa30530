// SQLite behind values and scopes: the only place of ours that calls it. SQL itself is in index.cc.
//
// Thread safety: none; one connection belongs to one thread at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/handle.h"
#include "base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace glm::store {

struct SqliteTraits {
  using Raw = sqlite3*;
  static constexpr Raw kEmpty = nullptr;
  static void close(Raw database);
};

struct StatementTraits {
  using Raw = sqlite3_stmt*;
  static constexpr Raw kEmpty = nullptr;
  static void close(Raw statement);
};

class Statement {
 public:
  explicit Statement(Handle<StatementTraits> handle) : handle_(std::move(handle)) {}

  // Parameters are bound left to right.
  Statement& bind(std::string_view text);
  Statement& bind(std::int64_t number);

  // True when there is a row. Errors: see Sqlite.
  Result<bool> step();
  // For statements without rows.
  Status run();

  // Of the current row, columns from 0.
  std::string text(int column) const;
  std::int64_t integer(int column) const;

 private:
  Handle<StatementTraits> handle_;
  int next_parameter_ = 1;
};

// Errors: Errc::exhausted (disk full), unavailable (locked by another process for 5 s), permission,
// corrupt (the file is no database or damaged), internal.
class Sqlite {
 public:
  // WAL, full durability, foreign keys on.
  static Result<Sqlite> open(const std::filesystem::path& path);

  Result<Statement> prepare(std::string_view sql);
  Status execute(const char* sql);

 private:
  explicit Sqlite(Handle<SqliteTraits> handle) : handle_(std::move(handle)) {}
  Handle<SqliteTraits> handle_;
};

// Rolls back unless committed.
class Transaction {
 public:
  static Result<Transaction> begin(Sqlite& database);
  Transaction(Transaction&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();
  Status commit();

 private:
  explicit Transaction(Sqlite& database) : database_(&database) {}
  Sqlite* database_;
};

}  // namespace glm::store
