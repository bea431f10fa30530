// What a repository is, without fetching it: its listing, the small files that describe it and the
// headers of its weights, by ranged requests. Of a weights file come 8 bytes and the header that
// they announce, nothing of the weights.
//
// What comes back is as the source sent it; whoever parses it takes it for hostile.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/result.h"
#include "registry/source.h"

namespace glm::registry {

struct WeightsHeader {
  std::string path;  // "model-00001-of-00004.safetensors"
  std::string json;
  std::uint64_t file_bytes = 0;
};

struct Preview {
  Snapshot snapshot;
  std::map<std::string, std::string> small_files;  // path -> text, as far as they are there
  std::vector<WeightsHeader> headers;              // in the order of the listing
  std::uint64_t weights_bytes = 0;                 // of the files that a pull would fetch
  std::uint64_t bytes_read = 0;                    // of files; listings do not count
  // Why there are no headers: the repository holds no weights that a pull would take.
  std::optional<Error> refusal;
};

struct PreviewLimits {
  std::size_t weights_files_max = 1024;
  std::uint64_t header_bytes_max = 100'000'000;        // of one file, as the format says
  std::uint64_t bytes_max = std::uint64_t{512} << 20;  // of everything together
};

// Errors: those of the source; Errc::corrupt names a file whose first bytes are no header or that
// is larger than the limits allow; Errc::cancelled.
Result<Preview> preview(Source& source, const std::string& repository, const std::string& revision,
                        const PreviewLimits& limits, std::stop_token stop);

}  // namespace glm::registry
