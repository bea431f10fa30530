// Which faults harm a request, and what they do to an answer.
//
// Thread safety: none of its own.
#pragma once

#include <string>
#include <vector>

#include "tests/fakes/fake_hub.h"
#include "tests/fakes/http_server.h"

namespace glm::fakes {

class HubFaults {
 public:
  void add(const std::string& repository, const std::string& path, Fault fault);
  void clear() { entries_.clear(); }

  // Those that harm this request; their counters move on.
  std::vector<Fault> take(const std::string& repository, const std::string& path, Step step,
                          const HttpRequest& request);

  // How many requests a signed URL of this file serves; UINT64_MAX without a fault.
  std::uint64_t signed_uses(const std::string& repository, const std::string& path) const;

 private:
  struct Entry {
    std::string repository, path;
    Fault fault;
    bool covers(const std::string& of_repository, const std::string& of_path) const;
  };
  std::vector<Entry> entries_;
};

const Fault* find(const std::vector<Fault>& faults, FaultKind kind);

// The answer that takes the place of the right one: status, login page, redirect.
std::optional<HttpAnswer> replacement(const std::vector<Fault>& faults, const HttpRequest& request);

// Answers with content as a server that knows ranges does, or as the faults have it.
HttpAnswer serve(const Content& content, const HttpRequest& request,
                 const std::vector<Fault>& faults);

}  // namespace glm::fakes
