// The Hugging Face hub as a Source: one listing per pull, then ranged reads.
//
// The token goes to the endpoint's own scheme, host and port and nowhere else. Answers must carry
// the commit that was asked for, so that a captive portal or a push during the pull is noticed.
//
// Thread safety: read() may run on several threads at once.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/clock.h"
#include "base/mutex.h"
#include "registry/http.h"
#include "registry/hub_errors.h"
#include "registry/hub_options.h"
#include "registry/source.h"

namespace glm::registry {

class HubSource final : public Source {
 public:
  HubSource(HubOptions options, Clock& clock);
  static Result<std::unique_ptr<HubSource>> from_environment(const RetryPolicy& retry = {});

  // Errc::not_found (repository or revision), permission (gated, token), unavailable (network;
  // offline), corrupt (an answer that is not the hub's).
  Result<Snapshot> resolve(const std::string& repository, const std::string& revision,
                           std::stop_token stop) override;
  Status read(const Snapshot& snapshot, const RemoteFile& file, std::uint64_t first,
              std::uint64_t end, const ByteSink& sink, std::stop_token stop) override;
  void on_wait(std::function<void(const std::string& why)> tell) override;
  void on_silence(std::function<void(const std::string& host)> tell) override;
  int connections() const override { return 8; }

 private:
  struct Reading;

  // By what it says, not by the Content-Type: mirrors of plain files have others.
  Result<nlohmann::json> get_json(const HubContext& context, const std::string& url,
                                  std::string& next_page, std::stop_token stop);
  Result<HttpResponse> send(HttpRequest request, const Http::HeadCheck& check,
                            std::stop_token stop) const;
  Result<HttpResponse> follow(const HubContext& context, HttpRequest request,
                              const Http::HeadCheck& check, std::stop_token stop);
  Result<std::string> locate(const HubContext& context, Reading& reading, std::stop_token stop);
  Status read_once(const HubContext& context, Reading& reading, std::stop_token stop);
  bool is_hub(const std::string& url) const;
  std::optional<std::chrono::seconds> asked(const HttpResponse& response) const;

  const HubOptions options_;
  Clock& clock_;
  const Http http_;
  std::string origin_;  // of the endpoint
  OnWait on_wait_;
  std::function<void(const std::string& host)> on_silence_;

  Mutex mutex_;
  std::map<std::string, std::string> locations_ GLM_GUARDED_BY(mutex_);  // path -> signed URL
};

}  // namespace glm::registry
