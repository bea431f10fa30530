#include "kernels/cuda/cuda_ops.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/handle.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/cuda_error.h"
#include "kernels/cuda/fork.h"
#include "kernels/cuda/gqa_rows.h"
#include "kernels/cuda/head_transposed.h"
#include "kernels/cuda/host_copy.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/mla_decode.h"
#include "kernels/cuda/mla_decode_batch.h"
#include "kernels/cuda/mla_decode_long.h"
#include "kernels/cuda/mla_front.h"
#include "kernels/cuda/moe_layer.h"
#include "kernels/cuda/moe_opening.h"
#include "kernels/cuda/normed_product.h"
#include "kernels/cuda/pinned.h"
#include "kernels/cuda/prompt_router.h"
#include "kernels/cuda/stream.h"
#include "kernels/cuda/uploader.h"
#include "kernels/cuda/workspace.h"
#include "kernels/in_parts.h"

namespace glm::kernels::cuda {
namespace {

struct EventTraits {
  using Raw = cudaEvent_t;
  static constexpr Raw kEmpty = nullptr;
  static void close(Raw event) { (void)cudaEventDestroy(event); }
};
class StreamEvent final : public Event {
 public:
  Handle<EventTraits> handle;
};
cudaEvent_t handle_of(Event& event) {
  return dynamic_cast<StreamEvent&>(event).handle.get();
}

// Pinned memory through which small uploads pass: they are in order with the stream and wait for
// nothing. What has been handed out is free again after a sync.
class Staging {
 public:
  static constexpr std::size_t kBytes = 1U << 20U;
  static constexpr std::size_t kLargestBytes = kBytes / 8;

  explicit Staging(Buffer pinned) : pinned_(std::move(pinned)) {}

  // Null where there is no room before the next sync.
  std::byte* copy_of(std::span<const std::byte> source) {
    const std::size_t padded = (source.size() + 63) / 64 * 64;
    if (source.size() > kLargestBytes || padded > kBytes - used_) return nullptr;
    std::byte* copy = static_cast<std::byte*>(pinned_.data()) + used_;
    used_ += padded;
    std::memcpy(copy, source.data(), source.size());
    return copy;
  }
  void synced() { used_ = 0; }

 private:
  Buffer pinned_;
  std::size_t used_ = 0;
};

struct GraphTraits {
  using Raw = cudaGraph_t;
  static constexpr Raw kEmpty = nullptr;
  static void close(Raw graph) { (void)cudaGraphDestroy(graph); }
};
struct GraphExecTraits {
  using Raw = cudaGraphExec_t;
  static constexpr Raw kEmpty = nullptr;
  static void close(Raw exec) { (void)cudaGraphExecDestroy(exec); }
};

class GraphRecording final : public Recording {
 public:
  Handle<GraphExecTraits> exec;
};

class Device final : public Ops {
 public:
  Device(CudaOptions options, Stream stream, Buffer pinned)
      : options_(std::move(options)), stream_(std::move(stream)), staging_(std::move(pinned)) {}
  Status prepare_attention();
  Status prepare_side();
  Status prepare_split();

  std::string_view backend() const override { return "cuda"; }
  Dtype activation_dtype() const override { return Dtype::bf16; }

  Result<Buffer> allocate(std::uint64_t size_bytes) override;
  Result<Buffer> allocate_host(std::uint64_t size_bytes) override {
    return allocate_pinned(size_bytes);
  }
  DeviceMemory memory() const override;
  void upload_in_place(void* target, std::span<const std::byte> source) override;
  void upload(void* target, std::span<const std::byte> source) override;
  void download(std::span<std::byte> target, const void* source) override;
  Status sync() override;
  Result<std::unique_ptr<Event>> make_event() override;
  Status mark(Event& event) override;
  Status wait(Event& event) override;
  Result<std::unique_ptr<Uploader>> make_uploader(std::uint64_t size_bytes) override {
    return cuda::make_uploader(options_.device_index, size_bytes);
  }
  Status reserve(const WorkspaceBounds& bounds) override;
  std::unique_ptr<Recording> record(const std::function<void()>& enqueue) override;
  bool records() const override { return true; }
  void replay(const Recording& recording) override;

  void beside(const std::function<void()>& enqueue) override;
  void embedding(const Embedding& args) override {
    check(args);
    remember("embedding", launch_embedding(args, stream()));
  }
  void gated_linear(const GatedLinear& args) override {
    check(args);
    remember("gated_linear", launch_gated_linear(args, options_.variant, stream()));
  }
  void head_linear(const HeadLinear& args) override {
    check(args);
    remember("head_linear", launch_head_linear(args, options_.variant, stream(), split_));
  }
  void linear(const Linear& args) override {
    check(args);
    remember("linear", launch_linear(args, options_.variant, stream(), split_));
  }
  void moe_layer(const MoeLayer& args) override;
  void moe_mlp(const MoeMlp& args) override;
  void normed_linear(const NormedLinear& args) override {
    check(args);
    if (supports_normed_linear(args, options_.variant)) {
      return remember("normed_linear", launch_normed_linear(args, options_.variant, stream()));
    }
    if (sum_left_ && options_.variant.empty() && supports_moe_sum_and_norm(*sum_left_, args.norm) &&
        supports_linears_in_halves(args, split_)) {
      return normed_linear_in_halves(args);
    }
    rms_norm(args.norm);
    remember("normed_linear", launch_linears(args, options_.variant, stream(), split_));
  }
  void multiply(const Multiply& args) override {
    check(args);
    remember("multiply", launch_multiply(args, stream()));
  }
  void read_memory(const ReadMemory& args) override {
    check(args);
    remember("read_memory", launch_read_memory(args, stream()));
  }
  void rms_norm(const RmsNorm& args) override {
    check(args);
    if (sum_left_ && options_.variant.empty() &&
        supports_moe_sum_and_whole_norm(*sum_left_, args)) {
      const MoeSum sum = *std::exchange(sum_left_, std::nullopt);
      return remember("rms_norm", launch_moe_sum_and_whole_norm(sum, args, stream_.get()));
    }
    remember("rms_norm", launch_rms_norm(args, stream()));
  }
  void router_topk(const RouterTopK& args) override {
    check(args);
    remember("router_topk", launch_router_topk(args, stream()));
  }
  void sample(const Sample& args) override;

  void gather_rows(const GatherRows& args) override {
    check(args);
    remember("gather_rows", launch_gather_rows(args, stream()));
  }
  void gqa_attention(const GqaAttention& args) override {
    check(args);
    remember("gqa_attention", launch_gqa_attention(args, attention_, stream()));
  }
  void gqa_rows(const GqaRows& args) override {
    check(args);
    if (!supports_gqa_rows(args)) return in_parts(*this, args);
    remember("gqa_rows", launch_gqa_rows(args, stream()));
  }
  void mla_absorbed(const MlaAbsorbed& args) override {
    check(args);
    remember("mla_absorbed", launch_mla_absorbed(args, attention_, stream()));
  }
  void mla_decode(const MlaDecode& args) override {
    check(args);
    if (!options_.variant.empty()) return in_parts(*this, args);
    const bool batch = supports_mla_decode_batch(args, attention_);
    // A token alone needs no other blocks than its heads' while its positions are few.
    if ((args.tokens() == 1 || !batch) && supports_mla_decode(args, attention_)) {
      return remember("mla_decode", launch_mla_decode(args, stream()));
    }
    if (supports_mla_decode_long(args, attention_)) {
      return remember("mla_decode", launch_mla_decode_long(args, attention_, stream()));
    }
    if (batch) {
      return remember("mla_decode", launch_mla_decode_batch(args, attention_, stream()));
    }
    if (!supports_mla_front(args)) return in_parts(*this, args);
    remember("mla_decode", launch_mla_front(args, stream()));
    mla_absorbed(args.attention());
    head_linear(args.values());
  }
  void mla_expanded(const MlaExpanded& args) override {
    check(args);
    remember("mla_expanded", launch_mla_expanded(args, attention_, stream()));
  }
  void mla_latents(const MlaLatents& args) override {
    check(args);
    if (!supports_mla_latents(args)) return in_parts(*this, args);
    if (supports_mla_latents_whole(args, options_.variant)) {
      return remember("mla_latents", launch_mla_latents(args, stream()));
    }
    remember("mla_latents", launch_norm_latents(args, stream()));
    linear(args.queries().linear());
  }
  void mla_queries(const MlaQueries& args) override {
    check(args);
    if (!supports_mla_queries(args, options_.variant)) return in_parts(*this, args);
    remember("mla_queries", launch_mla_queries(args, stream()));
  }
  void rope(const Rope& args) override {
    check(args);
    remember("rope", launch_rope(args, stream()));
  }
  void step_ids(const StepIds& args) override {
    check(args);
    if (supports_step_rows(args)) {
      return remember("step_ids", launch_step_rows(args, stream()));
    }
    if (args.began_ns != nullptr) timestamp({.out = args.began_ns});
    remember("step_ids", launch_step_ids(args, stream()));
    if (args.rows) embedding(args.embedding());
  }
  void store_rows(const StoreRows& args) override {
    check(args);
    remember("store_rows", launch_store_rows(args, stream()));
  }
  void timestamp(const Timestamp& args) override {
    check(args);
    remember("timestamp", launch_timestamp(args, stream()));
  }

 private:
  void remember(std::string_view op, cudaError_t code) {
    if (code != cudaSuccess && !failure_) failure_ = cuda_error(op, code);
  }
  Status take_failure() {
    if (!failure_) return Ok{};
    Error failure = *std::move(failure_);
    failure_.reset();
    return failure;
  }
  // With all that was asked for before.
  cudaStream_t stream() {
    if (sum_left_) {
      const MoeSum sum = *std::exchange(sum_left_, std::nullopt);
      remember("moe_mlp", launch_moe_sum(sum, stream_.get()));
    }
    return stream_.get();
  }
  void normed_linear_in_halves(const NormedLinear& args);
  void join() {
    (void)stream();
    const cudaEvent_t end = fork_.take_end();
    if (end != nullptr) remember("beside", cudaStreamWaitEvent(stream_.get(), end, 0));
  }

  CudaOptions options_;
  Stream stream_;
  Stream side_;
  Fork fork_;
  Staging staging_;
  AttentionWorkspace attention_;
  Buffer attention_memory_;
  Workspace workspace_;
  SplitSums split_;
  Buffer split_memory_;
  // The end of a moe_mlp, until the next operation: it may be one launch with what that begins
  // with.
  std::optional<MoeSum> sum_left_;
  std::optional<Error> failure_;  // the first since the last sync
};

// A step that cannot be captured still runs, launch by launch: what goes wrong here is not
// remembered, and the stream is as it was.
std::unique_ptr<Recording> Device::record(const std::function<void()>& enqueue) {
  if (failure_) return nullptr;
  (void)stream();
  if (cudaStreamBeginCapture(stream_.get(), cudaStreamCaptureModeThreadLocal) != cudaSuccess) {
    (void)cudaGetLastError();
    return nullptr;
  }
  enqueue();
  join();
  Handle<GraphTraits> graph;
  auto recording = std::make_unique<GraphRecording>();
  const bool captured =
      cudaStreamEndCapture(stream_.get(), graph.out()) == cudaSuccess && !failure_ &&
      cudaGraphInstantiate(recording->exec.out(), graph.get(),
                           cudaGraphInstantiateFlagUseNodePriority) == cudaSuccess &&
      cudaGraphUpload(recording->exec.get(), stream_.get()) == cudaSuccess;  // its memory, now
  if (captured) return recording;
  failure_.reset();
  (void)cudaGetLastError();
  return nullptr;
}

void Device::replay(const Recording& recording) {
  const auto& graph = dynamic_cast<const GraphRecording&>(recording);
  remember("step", cudaGraphLaunch(graph.exec.get(), stream()));
}

Result<Buffer> Device::allocate(std::uint64_t size_bytes) {
  void* data = nullptr;
  const cudaError_t code = cudaMalloc(&data, size_bytes == 0 ? 1 : size_bytes);
  if (code == cudaSuccess) {
    return Buffer(data, size_bytes, [](void* memory) { (void)cudaFree(memory); });
  }
  std::size_t free_bytes = 0;
  std::size_t total_bytes = 0;
  (void)cudaGetLastError();  // a failed allocation is no failure of what comes next
  (void)cudaMemGetInfo(&free_bytes, &total_bytes);
  return cuda_error(fmt::format("allocate {} bytes on GPU {}, where {} of {} are free", size_bytes,
                                options_.device_index, free_bytes, total_bytes),
                    code);
}

DeviceMemory Device::memory() const {
  std::size_t free_bytes = 0;
  std::size_t total_bytes = 0;
  if (cudaMemGetInfo(&free_bytes, &total_bytes) != cudaSuccess) return {};
  int integrated = 0;
  (void)cudaDeviceGetAttribute(&integrated, cudaDevAttrIntegrated, options_.device_index);
  if (integrated == 0) return {.total_bytes = total_bytes, .free_bytes = free_bytes};
  // What is cached of files is not free to the driver, but the system gives it away when asked.
  const std::uint64_t available = std::min<std::uint64_t>(host_memory().free_bytes, total_bytes);
  return {.total_bytes = total_bytes,
          .free_bytes = std::max<std::uint64_t>(free_bytes, available),
          .unified = true};
}

Status Device::prepare_attention() {
  const std::string attempt = fmt::format("open GPU {}", options_.device_index);
  if (const cudaError_t code = describe_device(options_.device_index, attention_);
      code != cudaSuccess) {
    return cuda_error(attempt, code);
  }
  const std::uint64_t bytes = attention_workspace_bytes(attention_.multiprocessors);
  const std::uint64_t meeting_bytes = mla_meeting_bytes(attention_);
  attention_memory_ = GLM_TRY(allocate(bytes + meeting_bytes).with(attempt));
  attention_.partial = static_cast<float*>(attention_memory_.data());
  if (meeting_bytes > 0) {
    attention_.meeting = static_cast<std::byte*>(attention_memory_.data()) + bytes;
    remember("open", set_up_mla_meeting(attention_.meeting, stream_.get()));
  }
  return take_failure();
}

Status Device::prepare_side() {
  if (const cudaError_t code = cudaStreamCreateWithFlags(side_.out(), cudaStreamNonBlocking);
      code != cudaSuccess) {
    return cuda_error(fmt::format("open GPU {}", options_.device_index), code);
  }
  fork_ = GLM_TRY(Fork::make());
  return Ok{};
}

Status Device::prepare_split() {
  const auto blocks = static_cast<std::uint64_t>(attention_.multiprocessors);
  const std::uint64_t sums_bytes = blocks * kSplitBlockSums * sizeof(float);
  const std::uint64_t counts_bytes = blocks * sizeof(std::uint32_t);
  split_memory_ = GLM_TRY(allocate(2 * sums_bytes + counts_bytes)
                              .with(fmt::format("open GPU {}", options_.device_index)));
  auto* awaited = static_cast<std::byte*>(split_memory_.data()) + sums_bytes;
  auto* counts = awaited + sums_bytes;
  split_ = {.sums = static_cast<float*>(split_memory_.data()),
            .counts = reinterpret_cast<std::uint32_t*>(counts),
            .awaited = awaited,
            .blocks = attention_.multiprocessors};
  remember("open", cudaMemsetAsync(awaited, 0xFF, sums_bytes, stream_.get()));
  remember("open", cudaMemsetAsync(counts, 0, counts_bytes, stream_.get()));
  return take_failure();
}

void Device::upload(void* target, std::span<const std::byte> source) {
  if (source.empty()) return;
  // From memory that is not pinned the copy returns when the source has been read.
  const std::byte* staged = staging_.copy_of(source);
  remember("upload", cudaMemcpyAsync(target, staged == nullptr ? source.data() : staged,
                                     source.size(), cudaMemcpyHostToDevice, stream()));
}

void Device::upload_in_place(void* target, std::span<const std::byte> source) {
  if (source.empty()) return;
  remember("upload", suits_host_copy(target, source.data(), source.size())
                         ? launch_host_copy(target, source.data(), source.size(), stream())
                         : cudaMemcpyAsync(target, source.data(), source.size(),
                                           cudaMemcpyHostToDevice, stream()));
}

void Device::download(std::span<std::byte> target, const void* source) {
  if (target.empty()) return;
  remember("download", suits_host_copy(target.data(), source, target.size())
                           ? launch_host_copy(target.data(), source, target.size(), stream())
                           : cudaMemcpyAsync(target.data(), source, target.size(),
                                             cudaMemcpyDeviceToHost, stream()));
}

void Device::beside(const std::function<void()>& enqueue) {
  join();
  remember("beside", fork_.begin(stream(), side_.get()));
  const SplitSums split = std::exchange(split_, {});  // the other side may be using it
  std::swap(stream_, side_);
  enqueue();
  std::swap(stream_, side_);
  split_ = split;
  remember("beside", fork_.end(side_.get()));
}

Status Device::sync() {
  join();
  remember("sync", cudaStreamSynchronize(stream()));
  staging_.synced();
  return take_failure();
}

Result<std::unique_ptr<Event>> Device::make_event() {
  auto event = std::make_unique<StreamEvent>();
  if (const cudaError_t code =
          cudaEventCreateWithFlags(event->handle.out(), cudaEventDisableTiming);
      code != cudaSuccess) {
    return cuda_error("make an event", code);
  }
  return std::unique_ptr<Event>(std::move(event));
}

Status Device::mark(Event& event) {
  join();
  remember("mark", cudaEventRecord(handle_of(event), stream()));
  return take_failure();
}

Status Device::wait(Event& event) {
  remember("wait", cudaEventSynchronize(handle_of(event)));
  return take_failure();
}

Status Device::reserve(const WorkspaceBounds& bounds) {
  GLM_TRY(sync());  // nobody still uses the old one
  workspace_ = Workspace();
  Buffer memory = GLM_TRY(allocate(Workspace::size_bytes(bounds))
                              .with(fmt::format("workspace for {} tokens of {} experts",
                                                bounds.tokens, bounds.chosen)));
  workspace_ = Workspace(bounds, std::move(memory));
  remember("reserve", workspace_.clear(stream()));
  return take_failure();
}

void Device::moe_layer(const MoeLayer& args) {
  check(args);
  const bool whole = options_.variant.empty() && workspace_.holds(args.experts());
  const cudaError_t code =
      whole ? launch_moe_layer(args, workspace_.moe(), split_, stream()) : cudaErrorNotSupported;
  if (code != cudaErrorNotSupported) return remember("moe_layer", code);
  if (whole && supports_prompt_router(args)) {
    begin_in_parts(*this, args);
    remember("moe_layer", launch_prompt_router(args, stream()));
    return moe_mlp(args.experts());
  }
  if (!whole || !supports_moe_opening(args)) return in_parts(*this, args);
  const bool in_halves = args.front && supports_front_in_halves(args, split_);
  if (in_halves) {
    float* squares = workspace_.moe().squares;
    remember("moe_layer", launch_front_in_halves(args, split_, squares, stream()));
  } else if (args.front) {
    linear(args.front.projection);
    rms_norm(args.front.norm);
  }
  const MoeWorkspace& space = workspace_.moe();
  // Then the shared expert's second half is left to the experts' launch.
  const bool begun = ends_shared_expert(args, space);
  remember("moe_layer", launch_moe_opening(args, space, in_halves, begun, stream()));
  if (!begun) return moe_mlp(args.experts());
  remember("moe_layer", launch_moe_mlp(args.experts(), space, options_.variant, fork_.take_end(),
                                       stream_.get(), &sum_left_, &args.shared));
}

// The norm's first half with the sum of experts in front of it, its second with the product.
void Device::normed_linear_in_halves(const NormedLinear& args) {
  const MoeSum sum = *std::exchange(sum_left_, std::nullopt);
  float* squares = workspace_.moe().squares;
  remember("normed_linear", launch_moe_sum_and_norm(sum, args.norm, squares, stream_.get()));
  const RowSquares in_parts{.sums = squares,
                            .parts = static_cast<int>(sum.hidden / kMoeSumColumns),
                            .eps = args.norm.eps};
  remember("normed_linear", launch_linears_in_halves(args, in_parts, split_, stream_.get()));
}

void Device::moe_mlp(const MoeMlp& args) {
  check(args);
  if (workspace_.holds(args)) {
    (void)stream();
    return remember("moe_mlp", launch_moe_mlp(args, workspace_.moe(), options_.variant,
                                              fork_.take_end(), stream_.get(), &sum_left_));
  }
  if (failure_) return;
  const WorkspaceBounds& bounds = workspace_.bounds();
  failure_ = make_error(
      Errc::exhausted,
      "moe_mlp of {} tokens, {} of {} experts, {} to {}: the workspace was reserved for {} tokens, "
      "{} of {} experts, {} to {}",
      args.x.size(0), args.ids.size(1), args.gate.experts, args.x.size(1), args.gate.layout.rows,
      bounds.tokens, bounds.chosen, bounds.experts, bounds.hidden, bounds.inner);
}

void Device::sample(const Sample& args) {
  check(args);
  if (workspace_.holds(args)) {
    const SampleWorkspace& space = workspace_.sample();
    if (args.head.out && options_.variant.empty() && supports_sample_of_head(args, split_)) {
      return remember("sample", launch_sample_of_head(args, space, split_, stream()));
    }
    if (args.head.out) linear(args.head);
    return remember("sample", launch_sample(args, space, stream()));
  }
  if (failure_) return;
  failure_ = make_error(Errc::exhausted,
                        "sample of {} rows of {}: the workspace was reserved for {} of {}",
                        args.logits.size(0), args.logits.size(1), workspace_.bounds().rows,
                        workspace_.bounds().vocab);
}

}  // namespace

Error cuda_error(std::string_view attempt, cudaError_t code) {
  return make_error(code == cudaErrorMemoryAllocation ? Errc::exhausted : Errc::device,
                    "{}: {} ({})", attempt, cudaGetErrorString(code), cudaGetErrorName(code));
}

Result<std::unique_ptr<Ops>> open_device(CudaOptions options) {
  const std::string attempt = fmt::format("open GPU {}", options.device_index);
  if (const cudaError_t code = cudaSetDevice(options.device_index); code != cudaSuccess) {
    return cuda_error(attempt, code);
  }
  Stream stream;
  if (const cudaError_t code = cudaStreamCreateWithFlags(stream.out(), cudaStreamNonBlocking);
      code != cudaSuccess) {
    return cuda_error(attempt, code);
  }
  Buffer staging = GLM_TRY(allocate_pinned(Staging::kBytes).with(attempt));
  auto device = std::make_unique<Device>(std::move(options), std::move(stream), std::move(staging));
  GLM_TRY(device->prepare_attention());
  GLM_TRY(device->prepare_side());
  GLM_TRY(device->prepare_split());
  return std::unique_ptr<Ops>(std::move(device));
}

}  // namespace glm::kernels::cuda

namespace glm::kernels {

Result<std::unique_ptr<Ops>> make_cuda_ops(int device_index) {
  return cuda::open_device({.device_index = device_index});
}

}  // namespace glm::kernels
