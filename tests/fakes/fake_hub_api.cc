// /api/models/…: what a repository contains.
#include <algorithm>
#include <charconv>
#include <set>
#include <utility>

#include <nlohmann/json.hpp>

#include "tests/fakes/fake_hub_impl.h"

namespace glm::fakes {
namespace {

using Json = nlohmann::json;

HttpAnswer json_answer(const Json& json) {
  return {.status = 200,
          .headers = {{"Content-Type", "application/json; charset=utf-8"}},
          .content = content_of(json.dump(-1, ' ', false, Json::error_handler_t::replace))};
}

bool is_on(const Target& target, const std::string& name) {
  const auto found = target.query.find(name);
  if (found == target.query.end()) return false;
  const std::string value = lower_case(found->second);
  return value == "true" || value == "1";
}

Json file_entry(const std::string& path, const HubFile& file, bool large) {
  const std::string pointer = file.pointer();
  Json entry{{"type", "file"},
             {"path", path},
             {"size", file.content.size_bytes},
             {"oid", large ? git_blob_id(pointer) : file.blob_id}};
  if (large) {
    entry["lfs"] = {
        {"oid", file.sha256}, {"size", file.content.size_bytes}, {"pointerSize", pointer.size()}};
  }
  return entry;
}

Json folder_entry(const std::string& path) {
  return {{"type", "directory"}, {"path", path}, {"size", 0}, {"oid", git_blob_id(path)}};
}

Json ref_entries(const std::map<std::string, std::string>& refs, const std::string& prefix) {
  Json entries = Json::array();
  for (const auto& [ref, commit] : refs) {
    if (ref.rfind(prefix, 0) != 0) continue;
    entries.push_back(
        {{"name", ref.substr(prefix.size())}, {"ref", ref}, {"targetCommit", commit}});
  }
  return entries;
}

std::set<std::string> asked_paths(const HttpRequest& request) {
  std::set<std::string> paths;
  const auto [first, last] = request.form.equal_range("paths");
  for (auto field = first; field != last; ++field) paths.insert(field->second);
  const Json body = Json::parse(request.body, nullptr, false);
  if (body.is_object() && body.contains("paths") && body["paths"].is_array()) {
    for (const Json& path : body["paths"]) {
      if (path.is_string()) paths.insert(path.get<std::string>());
    }
  }
  return paths;
}

}  // namespace

HttpAnswer FakeHub::Impl::api(const Subject& subject, const HttpRequest& request) {
  const std::vector<Fault> faults = faults_.take(subject.id, "", Step::api, request);
  if (auto instead = replacement(faults, request)) return *instead;
  Hosted* hosted = nullptr;
  if (auto refused = refusal(subject, request, Step::api, hosted)) return *refused;

  const std::string verb = subject.rest.empty() ? "revision" : subject.rest[0];
  const std::string name = subject.rest.size() < 2 ? "main" : subject.rest[1];
  const auto revision = hosted->files.find(name);
  if (revision == nullptr) return revision_not_found(name);

  HttpAnswer answer;
  if (verb == "revision") {
    answer = info(*hosted, *revision, subject);
  } else if (verb == "tree") {
    answer = tree(*hosted, *revision, subject, faults);
  } else if (verb == "paths-info") {
    answer = paths_info(*revision, request);
  } else if (verb == "refs") {
    const auto& refs = hosted->files.refs();
    answer = json_answer({{"branches", ref_entries(refs, "refs/heads/")},
                          {"converts", Json::array()},
                          {"tags", ref_entries(refs, "refs/tags/")},
                          {"pullRequests", ref_entries(refs, "refs/pr/")}});
  } else {
    return error_answer(404, "", "Not Found");
  }
  // The listings know no ranges, but their bytes can be harmed like those of files.
  if (answer.status != 200) return answer;
  if (find(faults, FaultKind::plain_text) != nullptr) {
    answer.headers.front().second = "text/plain";
  }
  HttpAnswer served = serve(answer.content, request, faults);
  served.headers.insert(served.headers.end(), answer.headers.begin(), answer.headers.end());
  return served;
}

HttpAnswer FakeHub::Impl::info(Hosted& hosted, const HubRevision& revision,
                               const Subject& subject) const {
  Json siblings = Json::array();
  for (const auto& [path, file] : revision.files) {
    Json sibling{{"rfilename", path}};
    if (is_on(subject.target, "blobs")) {
      const bool large = is_large(path, *file);
      const Json entry = file_entry(path, *file, large);
      sibling["size"] = entry["size"];
      sibling["blobId"] = entry["oid"];
      if (large) {
        sibling["lfs"] = {{"sha256", file->sha256},
                          {"size", file->content.size_bytes},
                          {"pointerSize", file->pointer().size()}};
      }
    }
    siblings.push_back(std::move(sibling));
  }
  Json json{{"_id", "000000000000000000000000"},
            {"id", hosted.id},
            {"modelId", hosted.id},
            {"author", hosted.id.substr(0, hosted.id.find('/'))},
            {"sha", revision.commit},
            {"lastModified", "2025-01-01T00:00:00.000Z"},
            {"createdAt", "2025-01-01T00:00:00.000Z"},
            {"private", hosted.access == Access::needs_token},
            {"disabled", hosted.access == Access::disabled},
            {"downloads", 0},
            {"likes", 0},
            {"tags", Json::array()},
            {"siblings", std::move(siblings)}};
  if (hosted.access == Access::gated) {
    json["gated"] = "manual";
  } else {
    json["gated"] = false;
  }
  return json_answer(json);
}

HttpAnswer FakeHub::Impl::tree(const Hosted& hosted, const HubRevision& revision,
                               const Subject& subject, const std::vector<Fault>& faults) const {
  const bool deep = is_on(subject.target, "recursive");
  const std::string below = join_from(subject.rest, 2);
  const std::string prefix = below.empty() ? "" : below + "/";
  std::map<std::string, Json> entries;
  for (const auto& [path, file] : revision.files) {
    if (path.rfind(prefix, 0) != 0) continue;
    std::size_t slash = path.find('/', prefix.size());
    if (deep || slash == std::string::npos) {
      entries.emplace(path, file_entry(path, *file, is_large(path, *file)));
    }
    for (; slash != std::string::npos;
         slash = deep ? path.find('/', slash + 1) : std::string::npos) {
      entries.emplace(path.substr(0, slash), folder_entry(path.substr(0, slash)));
    }
  }
  if (entries.empty() && !below.empty()) return entry_not_found(revision, below);

  std::size_t from = 0;
  const auto cursor = subject.target.query.find("cursor");
  if (cursor != subject.target.query.end()) {
    const std::string& text = cursor->second;
    (void)std::from_chars(text.data(), text.data() + text.size(), from);
  }
  Json page = Json::array();
  std::size_t index = 0;
  for (const auto& [path, entry] : entries) {
    if (index >= from && page.size() < options_.tree_page_entries) page.push_back(entry);
    ++index;
  }
  HttpAnswer answer = json_answer(page);

  std::string self = hub_.url() + "/api/models/" + hosted.id;
  for (const std::string& segment : subject.rest) self.append("/").append(percent_encode(segment));
  std::string next;
  if (from + page.size() < entries.size()) {
    next = self + "?recursive=" + (deep ? "True" : "False") +
           "&cursor=" + std::to_string(from + page.size());
  }
  if (find(faults, FaultKind::endless_tree) != nullptr) next = self + "?recursive=True&cursor=0";
  if (const Fault* foreign = find(faults, FaultKind::foreign_next)) next = foreign->text;
  if (!next.empty()) answer.headers.emplace_back("Link", "<" + next + ">; rel=\"next\"");
  return answer;
}

HttpAnswer FakeHub::Impl::paths_info(const HubRevision& revision,
                                     const HttpRequest& request) const {
  Json entries = Json::array();
  for (const std::string& path : asked_paths(request)) {
    const auto file = revision.files.find(path);
    if (file != revision.files.end()) {
      entries.push_back(file_entry(path, *file->second, is_large(path, *file->second)));
      continue;
    }
    const auto inside = revision.files.lower_bound(path + "/");
    if (inside != revision.files.end() && inside->first.rfind(path + "/", 0) == 0) {
      entries.push_back(folder_entry(path));
    }
  }
  return json_answer(entries);
}

}  // namespace glm::fakes
