#include "kernels/cuda/cuda_ops.h"

#include <cuda_runtime_api.h>

#include <optional>

#include "base/check.h"
#include "base/handle.h"
#include "kernels/cuda/cuda_error.h"
#include "kernels/cuda/launch.h"

namespace glm::kernels::cuda {
namespace {

struct StreamTraits {
  using Raw = cudaStream_t;
  static constexpr Raw kEmpty = nullptr;
  static void close(Raw stream) { (void)cudaStreamDestroy(stream); }  // fails only after an error
};
using Stream = Handle<StreamTraits>;

class Device final : public CudaOps {
 public:
  explicit Device(Stream stream) : stream_(std::move(stream)) {}

  Result<Buffer> allocate(std::uint64_t size_bytes) override {
    void* data = nullptr;
    const cudaError_t code = cudaMalloc(&data, size_bytes == 0 ? 1 : size_bytes);
    if (code != cudaSuccess) {
      return cuda_error(fmt::format("allocate {} bytes on the device", size_bytes), code);
    }
    return Buffer(data, size_bytes, [](void* memory) { (void)cudaFree(memory); });
  }
  void upload(void* target, std::span<const std::byte> source) override {
    remember("upload", cudaMemcpyAsync(target, source.data(), source.size(), cudaMemcpyHostToDevice,
                                       stream_.get()));
  }
  void download(std::span<std::byte> target, const void* source) override {
    remember("download", cudaMemcpyAsync(target.data(), source, target.size(),
                                         cudaMemcpyDeviceToHost, stream_.get()));
  }
  Status sync() override {
    remember("sync", cudaStreamSynchronize(stream_.get()));
    if (!failure_) return Ok{};
    Error failure = *std::move(failure_);
    failure_.reset();
    return failure;
  }

  void embedding(const Embedding& args) override {
    check(args);
    GLM_CHECK(args.out.dtype == Dtype::bf16 && args.table.layout.format == WeightFormat::bf16);
    remember("embedding", launch_embedding(args, stream_.get()));
  }
  void linear(const Linear& args) override {
    check(args);
    GLM_CHECK(args.x.dtype == Dtype::bf16 && args.weight.layout.format == WeightFormat::bf16);
    remember("linear", launch_linear(args, stream_.get()));
  }
  void rms_norm(const RmsNorm& args) override {
    check(args);
    remember("rms_norm", launch_rms_norm(args, stream_.get()));
  }

 private:
  void remember(std::string_view op, cudaError_t code) {
    if (code != cudaSuccess && !failure_) failure_ = cuda_error(op, code);
  }

  Stream stream_;
  std::optional<Error> failure_;
};

}  // namespace

Error cuda_error(std::string_view attempt, cudaError_t code) {
  return make_error(code == cudaErrorMemoryAllocation ? Errc::exhausted : Errc::device,
                    "{}: {} ({})", attempt, cudaGetErrorString(code), cudaGetErrorName(code));
}

Result<std::unique_ptr<CudaOps>> CudaOps::open(int device_index) {
  const std::string attempt = fmt::format("open GPU {}", device_index);
  if (const cudaError_t code = cudaSetDevice(device_index); code != cudaSuccess) {
    return cuda_error(attempt, code);
  }
  Stream stream;
  const cudaError_t code = cudaStreamCreateWithFlags(stream.out(), cudaStreamNonBlocking);
  if (code != cudaSuccess) return cuda_error(attempt, code);
  return std::unique_ptr<CudaOps>(std::make_unique<Device>(std::move(stream)));
}

}  // namespace glm::kernels::cuda
