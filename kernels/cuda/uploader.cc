#include "kernels/cuda/uploader.h"

#include <cuda_runtime_api.h>

#include <optional>

#include "kernels/cuda/cuda_error.h"
#include "kernels/cuda/pinned.h"
#include "kernels/cuda/stream.h"

namespace glm::kernels::cuda {
namespace {

class StreamUploader final : public Uploader {
 public:
  StreamUploader(Stream stream, Buffer pinned)
      : stream_(std::move(stream)), pinned_(std::move(pinned)) {}
  ~StreamUploader() override { (void)cudaStreamSynchronize(stream_.get()); }  // still reads pinned_

  std::span<std::byte> memory() override {
    return {static_cast<std::byte*>(pinned_.data()), pinned_.size_bytes()};
  }

  void send(void* target, std::span<const std::byte> source) override {
    remember(cudaMemcpyAsync(target, source.data(), source.size(), cudaMemcpyHostToDevice,
                             stream_.get()));
  }

  Status wait() override {
    remember(cudaStreamSynchronize(stream_.get()));
    if (!failure_) return Ok{};
    Error failure = *std::move(failure_);
    failure_.reset();
    return failure;
  }

 private:
  void remember(cudaError_t code) {
    if (code != cudaSuccess && !failure_) failure_ = cuda_error("upload", code);
  }

  Stream stream_;
  Buffer pinned_;
  std::optional<Error> failure_;  // the first since the last wait
};

}  // namespace

Result<std::unique_ptr<Uploader>> make_uploader(int device_index, std::uint64_t size_bytes) {
  const std::string attempt = fmt::format("prepare uploads to GPU {}", device_index);
  // Of this thread, which may never have used the device.
  if (const cudaError_t code = cudaSetDevice(device_index); code != cudaSuccess) {
    return cuda_error(attempt, code);
  }
  Stream stream;
  if (const cudaError_t code = cudaStreamCreateWithFlags(stream.out(), cudaStreamNonBlocking);
      code != cudaSuccess) {
    return cuda_error(attempt, code);
  }
  Buffer pinned = GLM_TRY(allocate_pinned(size_bytes).with(attempt));
  return std::unique_ptr<Uploader>(
      std::make_unique<StreamUploader>(std::move(stream), std::move(pinned)));
}

}  // namespace glm::kernels::cuda
