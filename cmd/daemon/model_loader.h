// What it takes to bring a model up: the seam between the models' lives (models.h) and files,
// processes and memory.
//
// Thread safety: all members may be called from any thread.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "cmd/daemon/metrics.h"
#include "cmd/daemon/runner.h"
#include "cmd/daemon/text_model.h"
#include "store/store.h"

namespace glm::daemon {

struct RunOptions {
  std::string device = "auto";         // "auto", "cpu", "cuda"
  std::int64_t context_max = 0;        // tokens; 0: the model's
  std::string kv_cache_type = "bf16";  // or "fp8"
  bool operator==(const RunOptions&) const = default;
};

class ModelLoader {
 public:
  virtual ~ModelLoader() = default;

  // The text side. Errors: those of TextModel::load, and Errc::not_found for a blob that is gone.
  virtual Result<std::shared_ptr<const TextModel>> text(const store::Manifest& manifest) = 0;

  // Whether such a load could succeed if no other model were there. Errors: those that it would
  // end with.
  virtual Status check(const store::Manifest& manifest, const RunOptions& options) = 0;

  // A runner that has begun to load. `promised_bytes` of the host's free memory are to become those
  // of other models.
  virtual Result<std::shared_ptr<Runner>> start(const store::Manifest& manifest,
                                                const RunOptions& options,
                                                std::uint64_t promised_bytes) = 0;

  // What the host can give without swapping, in bytes. Of a device only its runner knows.
  virtual std::uint64_t host_memory_free() const = 0;
};

// From the store, in processes of this program.
class StoredModelLoader final : public ModelLoader {
 public:
  StoredModelLoader(store::Store& store, Metrics& metrics) : store_(store), metrics_(metrics) {}

  Result<std::shared_ptr<const TextModel>> text(const store::Manifest& manifest) override;
  Status check(const store::Manifest& manifest, const RunOptions& options) override;
  Result<std::shared_ptr<Runner>> start(const store::Manifest& manifest, const RunOptions& options,
                                        std::uint64_t promised_bytes) override;
  std::uint64_t host_memory_free() const override;

 private:
  Result<runner::CheckpointFiles> files_of(const store::Manifest& manifest) const;
  Result<runner::LoadFrame> frame_of(const store::Manifest& manifest,
                                     const RunOptions& options) const;

  store::Store& store_;
  Metrics& metrics_;
};

// MemAvailable of /proc/meminfo's text, in bytes; nothing is known of another text: all there is.
std::uint64_t available_memory(std::string_view meminfo);

}  // namespace glm::daemon
