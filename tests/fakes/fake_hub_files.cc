// /<repository>/resolve/…, /raw/…, the cached small files, and the other host.
#include <algorithm>
#include <string_view>
#include <utility>

#include "tests/fakes/fake_hub_impl.h"

namespace glm::fakes {
namespace {

constexpr std::string_view kCachePrefix = "/api/resolve-cache/models/";

HttpAnswer storage_refusal(int status, std::string_view code, std::string_view message) {
  std::string xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>";
  xml.append(code).append("</Code><Message>").append(message).append("</Message></Error>");
  return {.status = status,
          .headers = {{"Content-Type", "application/xml"}},
          .content = content_of(std::move(xml))};
}

void add_identity(HttpAnswer& answer, const HubRevision& revision, const char* etag_name,
                  const std::string& digest, const std::vector<Fault>& faults) {
  if (find(faults, FaultKind::no_commit) == nullptr) {
    answer.headers.emplace_back("X-Repo-Commit", revision.commit);
  }
  std::string etag = digest;
  if (const Fault* wrong = find(faults, FaultKind::wrong_etag)) {
    etag = wrong->text.empty() ? std::string(digest.size(), '0') : wrong->text;
  }
  answer.headers.emplace_back(etag_name, "\"" + etag + "\"");
}

// The content's name as storage knows it: neither SHA-256 nor git's.
std::string storage_etag(const std::string& sha256) {
  std::string etag = sha256.substr(0, 32);
  std::reverse(etag.begin(), etag.end());
  return "\"" + etag + "\"";
}

}  // namespace

HttpAnswer FakeHub::Impl::resolve(const Subject& subject, const HttpRequest& request) {
  const bool cached = subject.prefix == kCachePrefix;
  const std::string verb = cached || subject.rest.empty() ? "resolve" : subject.rest[0];
  const std::size_t at = cached ? 0 : 1;
  if (subject.rest.size() < at + 2 || (verb != "resolve" && verb != "raw")) {
    return error_answer(404, "", "Not Found");
  }
  const std::string& name = subject.rest[at];
  const std::string path = join_from(subject.rest, at + 1);

  // Where a small file is answered in two steps, its faults are those of the second.
  Hosted* hosted = nullptr;
  const auto known = repositories_.find(lower_case(subject.id));
  if (known != repositories_.end() && !cached && verb == "resolve" &&
      options_.small_files == SmallFiles::resolve_cache) {
    const auto revision = known->second.files.find(name);
    const auto file = revision == nullptr ? HubTree::const_iterator() : revision->files.find(path);
    if (revision != nullptr && file != revision->files.end() && !is_large(path, *file->second)) {
      if (auto refused = refusal(subject, request, Step::resolve, hosted)) return *refused;
      return {
          .status = 307,
          .headers = {{"X-Repo-Commit", revision->commit},
                      {"Location", std::string(kCachePrefix) + hosted->id + "/" + revision->commit +
                                       "/" + encode_path(path) + "?download=true&etag=%22" +
                                       file->second->blob_id + "%22"}},
          .content = content_of("Temporary Redirect")};
    }
  }

  const std::vector<Fault> faults = faults_.take(subject.id, path, Step::resolve, request);
  if (auto instead = replacement(faults, request)) return *instead;
  if (auto refused = refusal(subject, request, Step::resolve, hosted)) return *refused;
  const auto revision = hosted->files.find(name);
  if (revision == nullptr) return revision_not_found(name);
  const auto file = revision->files.find(path);
  if (file == revision->files.end()) return entry_not_found(*revision, path);

  if (verb == "raw") {
    const bool large = is_large(path, *file->second);
    HttpAnswer answer =
        serve(large ? content_of(file->second->pointer()) : file->second->content, request, faults);
    answer.headers.emplace_back("X-Repo-Commit", revision->commit);
    return answer;
  }
  if (is_large(path, *file->second)) return large_file(*hosted, *revision, path, faults);
  if (cached) {
    const auto etag = subject.target.query.find("etag");
    if (etag == subject.target.query.end() || etag->second != "\"" + file->second->blob_id + "\"") {
      return error_answer(400, "", "resolve-cache wants the query it was redirected with");
    }
  }
  return small_file(*hosted, *revision, path, request, faults);
}

HttpAnswer FakeHub::Impl::small_file(const Hosted& hosted, const HubRevision& revision,
                                     const std::string& path, const HttpRequest& request,
                                     const std::vector<Fault>& faults) {
  const HubFile& file = *revision.files.at(path);
  const std::vector<Fault> data = faults_.take(hosted.id, path, Step::data, request);
  if (auto instead = replacement(data, request)) return *instead;
  HttpAnswer answer = serve(file.content, request, data);
  add_identity(answer, revision, "ETag", file.blob_id, faults);
  answer.headers.emplace_back("Content-Type", "text/plain; charset=utf-8");
  answer.headers.emplace_back("Content-Disposition",
                              "inline; filename*=UTF-8''" + percent_encode(path));
  return answer;
}

HttpAnswer FakeHub::Impl::large_file(const Hosted& hosted, const HubRevision& revision,
                                     const std::string& path, const std::vector<Fault>& faults) {
  const HubFile& file = *revision.files.at(path);
  const std::string signature = "sig" + std::to_string(signed_.size() + 1);
  signed_[signature] = {.repository = hosted.id,
                        .path = path,
                        .sha256 = file.sha256,
                        .content = file.content,
                        .uses_left = faults_.signed_uses(hosted.id, path)};
  const std::string location = cdn_.url() + "/lfs/" + file.sha256 +
                               "?X-Amz-Expires=3600&X-Amz-Signature=" + signature +
                               "&x-id=GetObject";
  const Fault* wrong_size = find(faults, FaultKind::wrong_size);
  const std::uint64_t size = file.content.size_bytes + (wrong_size ? wrong_size->bytes : 0);
  HttpAnswer answer{.status = 302,
                    .headers = {{"Location", location},
                                {"X-Linked-Size", std::to_string(size)},
                                {"Accept-Ranges", "bytes"},
                                {"Content-Type", "text/plain; charset=utf-8"}},
                    .content = content_of("Found. Redirecting to " + location)};
  add_identity(answer, revision, "X-Linked-Etag", file.sha256, faults);
  return answer;
}

HttpAnswer FakeHub::Impl::answer_cdn(const HttpRequest& request) {
  MutexLock lock(mutex_);
  log("cdn", request);
  const Target target = parse_target(request.target);
  const auto signature = target.query.find("X-Amz-Signature");
  const auto found =
      signature == target.query.end() ? signed_.end() : signed_.find(signature->second);
  if (found == signed_.end() || target.segments.empty() ||
      target.segments.back() != found->second.sha256) {
    return storage_refusal(403, "SignatureDoesNotMatch", "The request signature does not match");
  }
  if (request.headers.count("authorization") != 0) {
    return storage_refusal(400, "InvalidArgument", "Only one auth mechanism allowed");
  }
  Signed& grant = found->second;
  if (grant.uses_left == 0) return storage_refusal(403, "AccessDenied", "Request has expired");
  --grant.uses_left;
  const std::vector<Fault> faults = faults_.take(grant.repository, grant.path, Step::data, request);
  if (auto instead = replacement(faults, request)) return *instead;
  HttpAnswer answer = serve(grant.content, request, faults);
  answer.headers.emplace_back("ETag", storage_etag(grant.sha256));
  answer.headers.emplace_back("Content-Type", "binary/octet-stream");
  return answer;
}

}  // namespace glm::fakes
