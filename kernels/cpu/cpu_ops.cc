#include <chrono>
#include <cstdlib>
#include <cstring>

#include "base/check.h"
#include "kernels/cpu/ops.h"
#include "kernels/in_parts.h"

namespace glm::kernels {
namespace {

constexpr std::uint64_t kAlignment = 64;

class CpuOps final : public Ops {
 public:
  explicit CpuOps(int threads) : pool_(threads) {}

  std::string_view backend() const override { return "cpu"; }
  Dtype activation_dtype() const override { return Dtype::f32; }

  Result<Buffer> allocate(std::uint64_t size_bytes) override {
    const std::uint64_t padded = (size_bytes / kAlignment + 1) * kAlignment;
    void* data = padded > size_bytes ? std::aligned_alloc(kAlignment, padded) : nullptr;
    if (data == nullptr) {
      return make_error(Errc::exhausted, "no memory for {} bytes", size_bytes);
    }
    return Buffer(data, size_bytes, &std::free);
  }

  Result<Buffer> allocate_host(std::uint64_t size_bytes) override { return allocate(size_bytes); }

  DeviceMemory memory() const override { return host_memory(); }

  void upload(void* target, std::span<const std::byte> source) override {
    if (!source.empty()) std::memcpy(target, source.data(), source.size());
  }
  void download(std::span<std::byte> target, const void* source) override {
    if (!target.empty()) std::memcpy(target.data(), source, target.size());
  }
  void upload_in_place(void* target, std::span<const std::byte> source) override {
    upload(target, source);
  }
  Status sync() override { return Ok{}; }
  Result<std::unique_ptr<Event>> make_event() override { return std::make_unique<Event>(); }
  Status mark(Event& /*event*/) override { return Ok{}; }
  Status wait(Event& /*event*/) override { return Ok{}; }
  Result<std::unique_ptr<Uploader>> make_uploader(std::uint64_t /*size_bytes*/) override {
    return std::unique_ptr<Uploader>();
  }
  Status reserve(const WorkspaceBounds& /*bounds*/) override { return Ok{}; }
  std::unique_ptr<Recording> record(const std::function<void()>& /*enqueue*/) override {
    return nullptr;
  }
  bool records() const override { return false; }
  void replay(const Recording& /*recording*/) override { GLM_CHECK(false); }

  void beside(const std::function<void()>& enqueue) override { enqueue(); }

  void embedding(const Embedding& args) override { cpu::embedding(pool_, args); }
  void gather_rows(const GatherRows& args) override { cpu::gather_rows(pool_, args); }
  void gated_linear(const GatedLinear& args) override { cpu::gated_linear(pool_, args); }
  void gqa_attention(const GqaAttention& args) override { cpu::gqa_attention(pool_, args); }
  void gqa_rows(const GqaRows& args) override {
    check(args);
    in_parts(*this, args);
  }
  void head_linear(const HeadLinear& args) override { cpu::head_linear(pool_, args); }
  void linear(const Linear& args) override { cpu::linear(pool_, args); }
  void mla_absorbed(const MlaAbsorbed& args) override { cpu::mla_absorbed(pool_, args); }
  void mla_decode(const MlaDecode& args) override {
    check(args);
    in_parts(*this, args);
  }
  void mla_expanded(const MlaExpanded& args) override { cpu::mla_expanded(pool_, args); }
  void mla_latents(const MlaLatents& args) override {
    check(args);
    in_parts(*this, args);
  }
  void mla_queries(const MlaQueries& args) override {
    check(args);
    in_parts(*this, args);
  }
  void moe_layer(const MoeLayer& args) override {
    check(args);
    in_parts(*this, args);
  }
  void moe_mlp(const MoeMlp& args) override { cpu::moe_mlp(pool_, args); }
  void normed_linear(const NormedLinear& args) override {
    check(args);
    in_parts(*this, args);
  }
  void multiply(const Multiply& args) override { cpu::multiply(pool_, args); }
  void read_memory(const ReadMemory& args) override { cpu::read_memory(pool_, args); }
  void rms_norm(const RmsNorm& args) override { cpu::rms_norm(pool_, args); }
  void rope(const Rope& args) override { cpu::rope(pool_, args); }
  void router_topk(const RouterTopK& args) override { cpu::router_topk(pool_, args); }
  void sample(const Sample& args) override {
    if (args.head.out) linear(args.head);
    cpu::sample(pool_, args);
  }
  void step_ids(const StepIds& args) override {
    if (args.began_ns != nullptr) timestamp({.out = args.began_ns});
    cpu::step_ids(pool_, args);
  }
  void timestamp(const Timestamp& args) override {
    check(args);
    *args.out = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                               std::chrono::steady_clock::now().time_since_epoch())
                                               .count());
  }
  void store_rows(const StoreRows& args) override { cpu::store_rows(pool_, args); }

 private:
  cpu::ThreadPool pool_;
};

}  // namespace

std::unique_ptr<Ops> make_cpu_ops(int threads) {
  return std::make_unique<CpuOps>(threads);
}

}  // namespace glm::kernels
