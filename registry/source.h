// Where a model's files come from: the hub, or a folder that ships with the program. What follows
// (verifying, storing, detecting) is the same for both.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "base/result.h"
#include "store/digest.h"

namespace glm::registry {

// A file of a snapshot. At least one of the hashes is there.
struct RemoteFile {
  std::string path;  // checked by safe_path()
  std::uint64_t size_bytes = 0;
  std::optional<store::Digest> sha256;
  std::string git_oid;  // 40 hex digits, of small files on the hub; empty otherwise
};

struct Snapshot {
  std::string repository;  // canonical spelling
  std::string commit;
  std::vector<RemoteFile> files;
};

// Gets the next bytes, in order. An error ends the transfer and is passed on.
using ByteSink = std::function<Status(std::span<const std::byte>)>;

class Source {
 public:
  virtual ~Source() = default;

  // Names one immutable state of a repository and lists it.
  virtual Result<Snapshot> resolve(const std::string& repository, const std::string& revision,
                                   std::stop_token stop) = 0;

  // Bytes [first, end) of a file. May fail after some bytes (Errc::unavailable: asking again from
  // there may help); never delivers more than asked.
  virtual Status read(const Snapshot& snapshot, const RemoteFile& file, std::uint64_t first,
                      std::uint64_t end, const ByteSink& sink, std::stop_token stop) = 0;

  // From now on `tell` hears why, before this source waits to try something again: from every
  // thread that asks for something.
  virtual void on_wait(std::function<void(const std::string& why)> /*tell*/) {}

  // From now on `tell` hears the host that has been asked and does not answer, once per question:
  // from every thread that asks for something.
  virtual void on_silence(std::function<void(const std::string& host)> /*tell*/) {}

  // How many reads may usefully run at the same time.
  virtual int connections() const = 0;
};

}  // namespace glm::registry
