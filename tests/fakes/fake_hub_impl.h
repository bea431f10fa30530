// The inside of FakeHub: its state under one lock, and one function per kind of request.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "tests/fakes/fake_hub.h"
#include "tests/fakes/http_server.h"
#include "tests/fakes/hub_faults.h"
#include "tests/fakes/hub_repository.h"
#include "tests/fakes/url_text.h"

namespace glm::fakes {

class FakeHub::Impl {
 public:
  explicit Impl(HubOptions options);

  struct Hosted {
    std::string id;  // canonical spelling
    HubRepository files;
    Access access = Access::open;
    std::set<std::string> granted;
  };

  // What a request is about: a repository, and the segments after its name.
  struct Subject {
    std::string prefix;  // "/api/models/" …
    std::string id;      // as asked
    std::vector<std::string> rest;
    Target target;
  };

  // One redirect to the other host.
  struct Signed {
    std::string repository, path, sha256;
    Content content;
    std::uint64_t uses_left = 0;
  };

  HttpAnswer answer_hub(const HttpRequest& request) GLM_EXCLUDES(mutex_);
  HttpAnswer answer_cdn(const HttpRequest& request) GLM_EXCLUDES(mutex_);

  HttpAnswer api(const Subject& subject, const HttpRequest& request) GLM_REQUIRES(mutex_);
  HttpAnswer info(Hosted& hosted, const HubRevision& revision, const Subject& subject) const
      GLM_REQUIRES(mutex_);
  HttpAnswer tree(const Hosted& hosted, const HubRevision& revision, const Subject& subject,
                  const std::vector<Fault>& faults) const GLM_REQUIRES(mutex_);
  HttpAnswer paths_info(const HubRevision& revision, const HttpRequest& request) const
      GLM_REQUIRES(mutex_);
  HttpAnswer resolve(const Subject& subject, const HttpRequest& request) GLM_REQUIRES(mutex_);
  HttpAnswer small_file(const Hosted& hosted, const HubRevision& revision, const std::string& path,
                        const HttpRequest& request, const std::vector<Fault>& faults)
      GLM_REQUIRES(mutex_);
  HttpAnswer large_file(const Hosted& hosted, const HubRevision& revision, const std::string& path,
                        const std::vector<Fault>& faults) GLM_REQUIRES(mutex_);

  // The answer that keeps a request out; nothing when it may pass, and then `hosted` is set.
  std::optional<HttpAnswer> refusal(const Subject& subject, const HttpRequest& request, Step step,
                                    Hosted*& hosted) GLM_REQUIRES(mutex_);
  std::optional<HttpAnswer> renamed(const Subject& subject) const GLM_REQUIRES(mutex_);
  bool is_large(const std::string& path, const HubFile& file) const GLM_REQUIRES(mutex_);
  Hosted& hosted(const std::string& repository) GLM_REQUIRES(mutex_);
  void log(const char* host, const HttpRequest& request) GLM_REQUIRES(mutex_);

  Mutex mutex_;
  const HubOptions options_;
  std::map<std::string, Hosted> repositories_ GLM_GUARDED_BY(mutex_);    // by id in lower case
  std::map<std::string, std::string> new_names_ GLM_GUARDED_BY(mutex_);  // lower case -> canonical
  std::set<std::string> tokens_ GLM_GUARDED_BY(mutex_);
  HubFaults faults_ GLM_GUARDED_BY(mutex_);
  std::map<std::string, Signed> signed_ GLM_GUARDED_BY(mutex_);  // by signature
  std::vector<HubRequest> requests_ GLM_GUARDED_BY(mutex_);

  // Last: they stop before what they use goes away.
  HttpServer cdn_;
  HttpServer hub_;
};

HttpAnswer error_answer(int status, const std::string& code, const std::string& message);
HttpAnswer revision_not_found(const std::string& revision);
HttpAnswer entry_not_found(const HubRevision& revision, const std::string& path);

}  // namespace glm::fakes
