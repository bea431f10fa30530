// The vocabulary models are written in. One implementation per backend; contracts, bounds and
// numerics of each operation are in kernels/ops/<op>.h and hold for all of them.
//
// Operations return nothing and run in the order they were given; the first failure of a device is
// remembered and reported by sync(), so that a forward pass reads as mathematics.
//
// Thread safety: one thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>

#include "base/result.h"
#include "kernels/buffer.h"
#include "kernels/device_memory.h"
#include "kernels/ops/ceilings.h"
#include "kernels/ops/embedding.h"
#include "kernels/ops/gated_linear.h"
#include "kernels/ops/gqa_attention.h"
#include "kernels/ops/gqa_rows.h"
#include "kernels/ops/head_linear.h"
#include "kernels/ops/linear.h"
#include "kernels/ops/mla_attention.h"
#include "kernels/ops/mla_decode.h"
#include "kernels/ops/mla_latents.h"
#include "kernels/ops/mla_queries.h"
#include "kernels/ops/moe_layer.h"
#include "kernels/ops/moe_mlp.h"
#include "kernels/ops/normed_linear.h"
#include "kernels/ops/paged_rows.h"
#include "kernels/ops/rms_norm.h"
#include "kernels/ops/rope.h"
#include "kernels/ops/router_topk.h"
#include "kernels/ops/sample.h"
#include "kernels/ops/step_ids.h"
#include "kernels/ops/timestamp.h"
#include "kernels/uploader.h"

namespace glm::kernels {

// The largest step a model will ask for. A backend that needs memory of its own gets it by these.
struct WorkspaceBounds {
  std::int64_t tokens = 0;
  std::int64_t chosen = 0;   // experts of a token
  std::int64_t experts = 0;  // of a layer
  std::int64_t hidden = 0;
  std::int64_t inner = 0;  // of an expert
  std::int64_t rows = 0;   // of logits a token is sampled from
  std::int64_t vocab = 0;  // of such a row
};

// Operations that were written down, to be run again with the same shapes and addresses.
class Recording {
 public:
  virtual ~Recording() = default;
};

// A point in the order of operations, for the host to wait at.
class Event {
 public:
  virtual ~Event() = default;
};

class Ops {
 public:
  virtual ~Ops() = default;

  virtual std::string_view backend() const = 0;  // "cpu"
  virtual Dtype activation_dtype() const = 0;    // of everything between two linear layers

  // 64-byte aligned, contents undefined. Errc::exhausted.
  virtual Result<Buffer> allocate(std::uint64_t size_bytes) = 0;
  // Memory of the host that the device reads and writes by itself, 64-byte aligned, contents
  // undefined. Errc::exhausted.
  virtual Result<Buffer> allocate_host(std::uint64_t size_bytes) = 0;
  virtual DeviceMemory memory() const = 0;
  virtual void upload(void* target, std::span<const std::byte> source) = 0;
  // The same without a copy in between: `source` is of allocate_host() and stays as it is until an
  // event after this has been waited for.
  virtual void upload_in_place(void* target, std::span<const std::byte> source) = 0;
  // `target` holds what was asked for after a sync; where it is of allocate_host(), nothing waits
  // meanwhile, and an event will do as well.
  virtual void download(std::span<std::byte> target, const void* source) = 0;
  virtual Status sync() = 0;

  virtual Result<std::unique_ptr<Event>> make_event() = 0;
  // The event comes when everything asked for so far is done. Reports what could not even be asked
  // for.
  virtual Status mark(Event& event) = 0;
  // Blocks until then, or reports why it will never be; marks made later are not waited for.
  virtual Status wait(Event& event) = 0;

  // For other threads than the one that runs operations; safe to call from them. `size_bytes` are
  // those of Uploader::memory(). Null where allocate() gives host memory: it is written as it is.
  // Errc::exhausted.
  virtual Result<std::unique_ptr<Uploader>> make_uploader(std::uint64_t size_bytes) = 0;

  // Before the first moe_layer, moe_mlp or sample; once, for the largest. Errc::exhausted.
  virtual Status reserve(const WorkspaceBounds& bounds) = 0;

  // Writes down what `enqueue` asks for instead of running it; `enqueue` calls operations only.
  // Null where a backend gains nothing by it: then `enqueue` was not called. What the numbers in
  // memory say (ids, positions, page tables) is read when it runs; shapes and positions_max are
  // fixed.
  virtual std::unique_ptr<Recording> record(const std::function<void()>& enqueue) = 0;
  virtual bool records() const = 0;  // whether it ever gains something
  // `recording` is one of this backend's and must live until it has run.
  virtual void replay(const Recording& recording) = 0;

  // The operations that `enqueue` asks for may run at the same time as those that follow, up to the
  // next moe_mlp, which takes their result as `shared`. Until then neither side may write what the
  // other reads or writes. `enqueue` calls operations only, no moe_mlp among them.
  virtual void beside(const std::function<void()>& enqueue) = 0;

  virtual void embedding(const Embedding& args) = 0;
  virtual void gather_rows(const GatherRows& args) = 0;
  virtual void gated_linear(const GatedLinear& args) = 0;
  virtual void gqa_attention(const GqaAttention& args) = 0;
  virtual void gqa_rows(const GqaRows& args) = 0;
  virtual void head_linear(const HeadLinear& args) = 0;
  virtual void linear(const Linear& args) = 0;
  virtual void mla_absorbed(const MlaAbsorbed& args) = 0;
  virtual void mla_decode(const MlaDecode& args) = 0;
  virtual void mla_expanded(const MlaExpanded& args) = 0;
  virtual void mla_latents(const MlaLatents& args) = 0;
  virtual void mla_queries(const MlaQueries& args) = 0;
  virtual void moe_layer(const MoeLayer& args) = 0;
  virtual void moe_mlp(const MoeMlp& args) = 0;
  virtual void normed_linear(const NormedLinear& args) = 0;
  virtual void multiply(const Multiply& args) = 0;
  virtual void read_memory(const ReadMemory& args) = 0;
  virtual void rms_norm(const RmsNorm& args) = 0;
  virtual void rope(const Rope& args) = 0;
  virtual void router_topk(const RouterTopK& args) = 0;
  virtual void sample(const Sample& args) = 0;
  virtual void step_ids(const StepIds& args) = 0;
  virtual void store_rows(const StoreRows& args) = 0;
  virtual void timestamp(const Timestamp& args) = 0;
};

// The reference: f32 activations, plain loops. `threads` 0 means one per core.
std::unique_ptr<Ops> make_cpu_ops(int threads);

// An NVIDIA GPU: bf16 activations. Errc::unsupported if the backend is not built in, Errc::device
// if the device cannot be used.
Result<std::unique_ptr<Ops>> make_cuda_ops(int device_index);

}  // namespace glm::kernels
