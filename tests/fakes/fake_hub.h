// A model hub for tests: a real HTTP server on the loopback interface that speaks the Hugging Face
// hub's protocol (model info, tree, paths-info, refs, resolve, raw), with faults that can be
// switched on. The other host, to which large files are redirected, is a second server on
// 127.0.0.2: the name differs and not the port alone, because some clients compare names only.
//
//   FakeHub hub;
//   hub.add_file("org/model", "config.json", "{}");
//   hub.misbehave("org/model", "model.safetensors", {.kind = FaultKind::cut, .bytes = 100, .times =
//   1}); … HF_ENDPOINT = hub.url() … EXPECT_THAT(hub.requests(), …);
//
// Thread safety: all members may be called from any thread, also while requests are being answered.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace glm::fakes {

// What a request is for. Faults count the requests of their step only.
enum class Step {
  api,      // /api/…: info, tree, paths-info, refs
  resolve,  // /<repository>/resolve/…, the answer that tells commit, etag, size and location
  data,     // the answer that carries the bytes: the other host's for large files, else resolve's
};

enum class FaultKind {
  status,         // answers `status` with `headers` and the body `text`
  login_page,     // 200 and an HTML page, as captive portals do
  redirect,       // 302 to `text`: "file:///etc/passwd", a foreign host …
  redirect_loop,  // 302 to itself
  no_commit,      // no X-Repo-Commit
  wrong_etag,     // the etag is `text`, quoted; without text, one that is well-formed and wrong
  wrong_size,     // the size told at resolve is larger by `bytes` (large files only)
  plain_text,     // the right answer with Content-Type: text/plain
  foreign_next,   // the next page of the tree is at `text`
  endless_tree,   // every page of the tree has a next one: itself
  expire,         // a signed URL serves `bytes` requests, then 403 with XML until resolved anew
  cut,            // the connection is closed after `bytes` bytes of body
  stall,          // after `bytes` bytes of body nothing more comes
  slow,           // `bytes` bytes per second
  ignore_range,   // the whole with 200 although a range was asked
  wrong_start,    // 206 that starts a byte early (late where there is none before)
  wrong_bytes,    // right length, first byte of the answer changed
  gzip,           // Content-Encoding: gzip, although identity was asked
  no_length,      // neither Content-Length nor chunks: the body ends with the connection
};

// Unless said otherwise a fault lives where its kind belongs: from `expire` on at Step::data,
// plain_text, foreign_next and endless_tree at Step::api, the rest at Step::resolve. Faults of
// Step::data except expire also work at Step::api. Faults of the body count GET requests only,
// those of ranges only requests that ask for one.
struct Fault {
  static constexpr int kAlways = -1;

  FaultKind kind = FaultKind::status;
  std::optional<Step> step = {};
  int skip = 0;         // requests that pass unharmed first
  int times = kAlways;  // requests that are harmed then
  std::uint64_t bytes = 0;
  int status = 503;
  std::vector<std::pair<std::string, std::string>> headers = {};
  std::string text = {};
};

enum class Access {
  open,
  needs_token,  // private: 401 without a token, 404 with one that was not granted
  gated,        // listed for everyone, resolved for granted tokens: 401 or 403 GatedRepo otherwise
  disabled,     // 403 for everyone
};

enum class SmallFiles {
  direct,         // 200 at once
  resolve_cache,  // 307 to a relative /api/resolve-cache/… whose query matters
};

struct HubOptions {
  int port = 0;                          // of the hub; 0 takes a free one
  std::uint64_t lfs_above_bytes = 1024;  // larger files and all *.safetensors are on the other host
  std::size_t tree_page_entries = 1000;
  SmallFiles small_files = SmallFiles::direct;
};

struct HubRequest {
  std::string host;    // "hub" or "cdn"
  std::string method;  // "GET", "HEAD", "POST"
  std::string target;  // path and query as sent
  std::string range;   // the Range header, or empty
  bool has_authorization = false;
  std::string accept_encoding;
  std::string user_agent;
};

class FakeHub {
 public:
  explicit FakeHub(HubOptions options = {});
  ~FakeHub();
  FakeHub(const FakeHub&) = delete;
  FakeHub& operator=(const FakeHub&) = delete;

  std::string url() const;      // of the hub, without a trailing '/'
  std::string cdn_url() const;  // of the other host

  // Repositories come into being when they are first named here. Ids are found whatever their case;
  // the first spelling is the canonical one.
  void add_file(const std::string& repository, const std::string& path, std::string bytes);
  // A file of `size_bytes` that begins with `head` and goes on with zeros nobody keeps anywhere.
  // Its digests are made up, so it can be looked at and not pulled.
  void add_hollow_file(const std::string& repository, const std::string& path, std::string head,
                       std::uint64_t size_bytes);
  void add_folder(const std::string& repository, const std::filesystem::path& folder);
  void remove_file(const std::string& repository, const std::string& path);

  // Names what main is now. Earlier commits of main stay reachable by their id.
  void add_branch(const std::string& repository, const std::string& name);
  void add_tag(const std::string& repository, const std::string& name);
  void add_ref(const std::string& repository, const std::string& ref);  // "refs/pr/1"
  std::string commit(const std::string& repository, const std::string& revision = "main") const;

  // The old name answers 307 from then on; faults stay with the name they were given for.
  void rename(const std::string& from, const std::string& to);
  void set_access(const std::string& repository, Access access);
  void add_token(const std::string& token);  // valid, no rights. Before the first, any token is.
  void grant(const std::string& repository, const std::string& token);  // valid, and may read it

  // An empty path means every path of the repository (and at Step::api its listings); an empty
  // repository every repository. Faults add up, in the order they were given.
  void misbehave(const std::string& repository, const std::string& path, Fault fault);
  void behave();  // forgets all faults

  std::vector<HubRequest> requests() const;  // in the order of arrival
  void forget_requests();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace glm::fakes
