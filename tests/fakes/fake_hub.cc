#include "tests/fakes/fake_hub.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "tests/fakes/fake_hub_impl.h"

namespace glm::fakes {
namespace {

// Words after which a model's name is over.
constexpr std::string_view kVerbs[] = {"revision", "tree", "paths-info", "refs", "resolve", "raw"};

bool is_verb(const std::string& word) {
  return std::find(std::begin(kVerbs), std::end(kVerbs), word) != std::end(kVerbs);
}

std::string bearer(const HttpRequest& request) {
  constexpr std::string_view kScheme = "Bearer ";
  const std::string value = request.header("authorization");
  return value.rfind(kScheme, 0) == 0 ? value.substr(kScheme.size()) : value;
}

}  // namespace

HttpAnswer error_answer(int status, const std::string& code, const std::string& message) {
  const nlohmann::json body{{"error", message}};
  HttpAnswer answer{
      .status = status,
      .headers = {{"Content-Type", "application/json; charset=utf-8"},
                  {"X-Error-Message", message},
                  {"X-Request-Id", "Root=1-fake"}},
      .content = content_of(body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace))};
  if (!code.empty()) answer.headers.emplace_back("X-Error-Code", code);
  return answer;
}

HttpAnswer revision_not_found(const std::string& revision) {
  return error_answer(404, "RevisionNotFound", "Invalid rev id: " + revision);
}

HttpAnswer entry_not_found(const HubRevision& revision, const std::string& path) {
  HttpAnswer answer = error_answer(404, "EntryNotFound", path + " does not exist on this revision");
  answer.headers.emplace_back("X-Repo-Commit", revision.commit);
  return answer;
}

FakeHub::Impl::Impl(HubOptions options)
    : options_(options),
      cdn_({.address = "127.0.0.2"},
           [this](const HttpRequest& request) { return answer_cdn(request); }),
      hub_({.port = options.port},
           [this](const HttpRequest& request) { return answer_hub(request); }) {}

FakeHub::Impl::Hosted& FakeHub::Impl::hosted(const std::string& repository) {
  Hosted& found = repositories_[lower_case(repository)];
  if (found.id.empty()) found.id = repository;
  return found;
}

void FakeHub::Impl::log(const char* host, const HttpRequest& request) {
  requests_.push_back({.host = host,
                       .method = request.method,
                       .target = request.target,
                       .range = request.header("range"),
                       .has_authorization = request.headers.count("authorization") != 0,
                       .accept_encoding = request.header("accept-encoding"),
                       .user_agent = request.header("user-agent")});
}

HttpAnswer FakeHub::Impl::answer_hub(const HttpRequest& request) {
  MutexLock lock(mutex_);
  log("hub", request);
  Subject subject{.prefix = "/", .id = "", .rest = {}, .target = parse_target(request.target)};
  const std::vector<std::string>& segments = subject.target.segments;
  std::size_t at = 0;
  if (segments.size() > 2 && segments[0] == "api") {
    at = segments[1] == "resolve-cache" ? 3 : 2;  // "api", "resolve-cache", "models"
    subject.prefix +=
        join_from({segments.begin(), segments.begin() + static_cast<int>(at)}, 0) + "/";
  }
  // A cached file's address has no verb: <org>/<name>/<commit>/<path>.
  for (std::size_t parts = 0; parts < 2 && at < segments.size(); ++parts, ++at) {
    if (parts == 1 && is_verb(segments[at])) break;
    subject.id += (parts == 0 ? "" : "/") + segments[at];
  }
  subject.rest.assign(segments.begin() + static_cast<int>(std::min(at, segments.size())),
                      segments.end());

  if (subject.id.empty()) return error_answer(404, "", "Not Found");
  if (auto elsewhere = renamed(subject)) return *elsewhere;
  return subject.prefix == "/api/models/" ? api(subject, request) : resolve(subject, request);
}

std::optional<HttpAnswer> FakeHub::Impl::renamed(const Subject& subject) const {
  const auto found = new_names_.find(lower_case(subject.id));
  if (found == new_names_.end()) return std::nullopt;
  std::string location = subject.prefix + found->second;
  for (const std::string& segment : subject.rest)
    location.append("/").append(percent_encode(segment));
  location += subject.target.query_text;
  return HttpAnswer{
      .status = 307, .headers = {{"Location", location}}, .content = content_of("moved")};
}

std::optional<HttpAnswer> FakeHub::Impl::refusal(const Subject& subject, const HttpRequest& request,
                                                 Step step, Hosted*& hosted) {
  const std::string token = bearer(request);
  if (!token.empty() && !tokens_.empty() && tokens_.count(token) == 0) {
    return error_answer(401, "", "Invalid credentials in Authorization header");
  }
  const auto found = repositories_.find(lower_case(subject.id));
  const bool exists = found != repositories_.end();
  const bool granted = exists && found->second.granted.count(token) != 0;
  const Access access = exists ? found->second.access : Access::needs_token;
  if (access == Access::needs_token && !granted) {
    return token.empty() ? error_answer(401, "", "Invalid username or password.")
                         : error_answer(404, "RepoNotFound", "Repository not found");
  }
  hosted = &found->second;
  if (access == Access::disabled) {
    return error_answer(403, "", "Access to this resource is disabled.");
  }
  if (access == Access::gated && step == Step::resolve && !granted) {
    return error_answer(token.empty() ? 401 : 403, "GatedRepo",
                        "Access to model " + hosted->id + " is restricted." +
                            (token.empty() ? " You must have access to it and be authenticated to "
                                             "access it. Please log in."
                                           : " You are not in the authorized list."));
  }
  return std::nullopt;
}

bool FakeHub::Impl::is_large(const std::string& path, const HubFile& file) const {
  constexpr std::string_view kAlways = ".safetensors";
  const bool always = path.size() >= kAlways.size() &&
                      path.compare(path.size() - kAlways.size(), kAlways.size(), kAlways) == 0;
  return always || file.content.size_bytes > options_.lfs_above_bytes;
}

FakeHub::FakeHub(HubOptions options) : impl_(std::make_unique<Impl>(options)) {}
FakeHub::~FakeHub() = default;

std::string FakeHub::url() const {
  return impl_->hub_.url();
}
std::string FakeHub::cdn_url() const {
  return impl_->cdn_.url();
}

void FakeHub::add_file(const std::string& repository, const std::string& path, std::string bytes) {
  HubFile file = hub_file(content_of(std::move(bytes)));
  MutexLock lock(impl_->mutex_);
  impl_->hosted(repository).files.put(path, std::move(file));
}

void FakeHub::add_hollow_file(const std::string& repository, const std::string& path,
                              std::string head, std::uint64_t size_bytes) {
  const HubFile named = hub_file(content_of(path + head + std::to_string(size_bytes)));
  HubFile file{.content = {.size_bytes = size_bytes,
                           .read =
                               [head = std::move(head)](std::uint64_t offset, std::size_t length) {
                                 std::string bytes;
                                 if (offset < head.size()) bytes = head.substr(offset, length);
                                 bytes.resize(length);
                                 return bytes;
                               }},
               .sha256 = named.sha256,
               .blob_id = named.blob_id};
  MutexLock lock(impl_->mutex_);
  impl_->hosted(repository).files.put(path, std::move(file));
}

void FakeHub::add_folder(const std::string& repository, const std::filesystem::path& folder) {
  {
    MutexLock lock(impl_->mutex_);
    impl_->hosted(repository);  // also when there is nothing in it
  }
  auto entry = std::filesystem::recursive_directory_iterator(folder);
  for (; entry != std::filesystem::recursive_directory_iterator(); ++entry) {
    if (entry->path().filename().string().front() == '.') {
      if (entry->is_directory()) entry.disable_recursion_pending();
      continue;
    }
    if (!entry->is_regular_file()) continue;
    HubFile file = hub_file(content_on_disk(entry->path()));
    MutexLock lock(impl_->mutex_);
    impl_->hosted(repository)
        .files.put(entry->path().lexically_relative(folder).generic_string(), std::move(file));
  }
}

void FakeHub::remove_file(const std::string& repository, const std::string& path) {
  MutexLock lock(impl_->mutex_);
  impl_->hosted(repository).files.remove(path);
}

void FakeHub::add_branch(const std::string& repository, const std::string& name) {
  add_ref(repository, "refs/heads/" + name);
}

void FakeHub::add_tag(const std::string& repository, const std::string& name) {
  add_ref(repository, "refs/tags/" + name);
}

void FakeHub::add_ref(const std::string& repository, const std::string& ref) {
  MutexLock lock(impl_->mutex_);
  impl_->hosted(repository).files.mark(ref);
}

std::string FakeHub::commit(const std::string& repository, const std::string& revision) const {
  MutexLock lock(impl_->mutex_);
  const auto found = impl_->hosted(repository).files.find(revision);
  return found == nullptr ? "" : found->commit;
}

void FakeHub::rename(const std::string& from, const std::string& to) {
  MutexLock lock(impl_->mutex_);
  auto moved = impl_->repositories_.extract(lower_case(from));
  if (!moved.empty()) {
    moved.key() = lower_case(to);
    moved.mapped().id = to;
    impl_->repositories_.insert(std::move(moved));
  }
  impl_->new_names_[lower_case(from)] = to;
}

void FakeHub::set_access(const std::string& repository, Access access) {
  MutexLock lock(impl_->mutex_);
  impl_->hosted(repository).access = access;
}

void FakeHub::add_token(const std::string& token) {
  MutexLock lock(impl_->mutex_);
  impl_->tokens_.insert(token);
}

void FakeHub::grant(const std::string& repository, const std::string& token) {
  MutexLock lock(impl_->mutex_);
  impl_->tokens_.insert(token);
  impl_->hosted(repository).granted.insert(token);
}

void FakeHub::misbehave(const std::string& repository, const std::string& path, Fault fault) {
  MutexLock lock(impl_->mutex_);
  impl_->faults_.add(repository, path, std::move(fault));
}

void FakeHub::behave() {
  MutexLock lock(impl_->mutex_);
  impl_->faults_.clear();
}

std::vector<HubRequest> FakeHub::requests() const {
  MutexLock lock(impl_->mutex_);
  return impl_->requests_;
}

void FakeHub::forget_requests() {
  MutexLock lock(impl_->mutex_);
  impl_->requests_.clear();
}

}  // namespace glm::fakes
