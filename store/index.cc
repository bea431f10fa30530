#include "store/index.h"

#include <array>
#include <string>
#include <utility>

namespace glm::store {
namespace {

// Entry n brings user_version n to n + 1. Never changed once released; appended to.
constexpr std::array<const char*, 1> kMigrations = {
    R"(CREATE TABLE models (
         sequence   INTEGER PRIMARY KEY AUTOINCREMENT,
         name       TEXT NOT NULL UNIQUE COLLATE NOCASE,
         source     TEXT NOT NULL,
         revision   TEXT NOT NULL,
         commit_id  TEXT NOT NULL,
         modelfile  TEXT NOT NULL,
         facts_json TEXT NOT NULL,
         pulled_at  TEXT NOT NULL);
       CREATE TABLE files (
         model      INTEGER NOT NULL REFERENCES models(sequence) ON DELETE CASCADE,
         path       TEXT NOT NULL,
         digest     TEXT NOT NULL,
         size_bytes INTEGER NOT NULL,
         PRIMARY KEY (model, path)) WITHOUT ROWID;
       CREATE INDEX files_by_digest ON files(digest);)",
};

constexpr std::string_view kColumns =
    "sequence, name, source, revision, commit_id, modelfile, facts_json, pulled_at";

}  // namespace

Result<std::unique_ptr<Index>> Index::open(const std::filesystem::path& path) {
  Sqlite database = GLM_TRY(Sqlite::open(path));
  std::unique_ptr<Index> index(new Index(std::move(database)));
  MutexLock lock(index->mutex_);
  GLM_TRY(index->migrate().with("index " + path.string()));
  return index;
}

Status Index::migrate() {
  auto transaction = GLM_TRY(Transaction::begin(database_));
  Statement version = GLM_TRY(database_.prepare("PRAGMA user_version"));
  GLM_TRY(version.step());
  const auto have = static_cast<std::size_t>(version.integer(0));
  if (have > kMigrations.size()) {
    return make_error(Errc::unsupported,
                      "written by a newer glm (format {}, this one knows {}); install a newer glm",
                      have, kMigrations.size());
  }
  for (std::size_t i = have; i < kMigrations.size(); ++i) {
    GLM_TRY(database_.execute(kMigrations[i]));
  }
  GLM_TRY(database_.execute(fmt::format("PRAGMA user_version={}", kMigrations.size()).c_str()));
  return transaction.commit();
}

Status Index::put(const Manifest& manifest) {
  MutexLock lock(mutex_);
  auto transaction = GLM_TRY(Transaction::begin(database_));
  std::string name = manifest.name;
  Statement known = GLM_TRY(database_.prepare("SELECT name FROM models WHERE name = ?"));
  if (GLM_TRY(known.bind(name).step())) name = known.text(0);
  GLM_TRY(GLM_TRY(database_.prepare("DELETE FROM models WHERE name = ?")).bind(name).run());
  Statement insert = GLM_TRY(database_.prepare(
      "INSERT INTO models (name, source, revision, commit_id, modelfile, facts_json, pulled_at)"
      " VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING sequence"));
  insert.bind(name)
      .bind(manifest.source)
      .bind(manifest.revision)
      .bind(manifest.commit)
      .bind(manifest.modelfile)
      .bind(manifest.facts_json)
      .bind(manifest.pulled_at);
  GLM_TRY(insert.step());
  const std::int64_t sequence = insert.integer(0);
  GLM_TRY(insert.run());
  for (const ManifestFile& file : manifest.files) {
    GLM_TRY(GLM_TRY(database_.prepare(
                        "INSERT INTO files (model, path, digest, size_bytes) VALUES (?, ?, ?, ?)"))
                .bind(sequence)
                .bind(file.path)
                .bind(file.digest.hex())
                .bind(static_cast<std::int64_t>(file.size_bytes))
                .run());
  }
  return transaction.commit();
}

Result<Manifest> Index::read(Statement& row) const {
  Manifest manifest;
  const std::int64_t sequence = row.integer(0);
  manifest.name = row.text(1);
  manifest.source = row.text(2);
  manifest.revision = row.text(3);
  manifest.commit = row.text(4);
  manifest.modelfile = row.text(5);
  manifest.facts_json = row.text(6);
  manifest.pulled_at = row.text(7);
  Statement files = GLM_TRY(database_.prepare(
      "SELECT path, digest, size_bytes FROM files WHERE model = ? ORDER BY path"));
  files.bind(sequence);
  while (GLM_TRY(files.step())) {
    Result<Digest> digest = Digest::parse(files.text(1));
    if (!digest.ok()) {
      return make_error(Errc::corrupt, "index: model {}: {}", manifest.name,
                        digest.error().message);
    }
    manifest.files.push_back(
        {files.text(0), *digest, static_cast<std::uint64_t>(files.integer(2))});
  }
  return manifest;
}

Result<Manifest> Index::find(std::string_view name) const {
  MutexLock lock(mutex_);
  Statement row = GLM_TRY(
      database_.prepare(fmt::format("SELECT {} FROM models WHERE name = ?", kColumns)));
  row.bind(name);
  if (!GLM_TRY(row.step())) {
    return make_error(Errc::not_found, "model \"{}\" not found", name);
  }
  return read(row);
}

Result<std::vector<Manifest>> Index::list() const {
  MutexLock lock(mutex_);
  Statement row = GLM_TRY(
      database_.prepare(fmt::format("SELECT {} FROM models ORDER BY sequence DESC", kColumns)));
  std::vector<Manifest> manifests;
  while (GLM_TRY(row.step())) manifests.push_back(GLM_TRY(read(row)));
  return manifests;
}

Status Index::remove(std::string_view name) {
  MutexLock lock(mutex_);
  Statement removed =
      GLM_TRY(database_.prepare("DELETE FROM models WHERE name = ? RETURNING sequence"));
  removed.bind(name);
  if (!GLM_TRY(removed.step())) {
    return make_error(Errc::not_found, "model \"{}\" not found", name);
  }
  return removed.run();
}

Result<bool> Index::is_referenced(const Digest& digest) const {
  MutexLock lock(mutex_);
  Statement row = GLM_TRY(database_.prepare("SELECT 1 FROM files WHERE digest = ? LIMIT 1"));
  row.bind(digest.hex());
  return row.step();
}

}  // namespace glm::store
