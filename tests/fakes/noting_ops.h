// A backend that computes nothing and notes what is recorded and replayed.
#pragma once

#include <string>

#include "kernels/ops.h"

namespace glm::fakes {

class NotingOps : public kernels::Ops {
 public:
  const std::string& notes() const { return notes_; }
  void clear() { notes_.clear(); }
  void refuse() { refuses_ = true; }

  std::string_view backend() const override { return "noting"; }
  kernels::Dtype activation_dtype() const override { return kernels::Dtype::f32; }
  Result<kernels::Buffer> allocate(std::uint64_t /*size_bytes*/) override {
    return kernels::Buffer();
  }
  Result<kernels::Buffer> allocate_host(std::uint64_t /*size_bytes*/) override {
    return kernels::Buffer();
  }
  void upload_in_place(void* /*target*/, std::span<const std::byte> /*source*/) override {}
  Result<std::unique_ptr<kernels::Event>> make_event() override {
    return std::make_unique<kernels::Event>();
  }
  Status mark(kernels::Event& /*event*/) override { return Ok{}; }
  Status wait(kernels::Event& /*event*/) override { return Ok{}; }
  kernels::DeviceMemory memory() const override { return {}; }
  void upload(void* /*target*/, std::span<const std::byte> /*source*/) override {}
  void download(std::span<std::byte> /*target*/, const void* /*source*/) override {}
  Status sync() override { return Ok{}; }
  Result<std::unique_ptr<kernels::Uploader>> make_uploader(std::uint64_t /*size_bytes*/) override {
    return std::unique_ptr<kernels::Uploader>();
  }
  Status reserve(const kernels::WorkspaceBounds& /*bounds*/) override { return Ok{}; }
  std::unique_ptr<kernels::Recording> record(const std::function<void()>& enqueue) override {
    notes_ += "record ";
    if (refuses_) return nullptr;
    enqueue();
    return std::make_unique<kernels::Recording>();
  }
  bool records() const override { return true; }
  void replay(const kernels::Recording& /*recording*/) override { notes_ += "replay "; }

  void beside(const std::function<void()>& enqueue) override { enqueue(); }
  void embedding(const kernels::Embedding& /*args*/) override {}
  void gather_rows(const kernels::GatherRows& /*args*/) override {}
  void gated_linear(const kernels::GatedLinear& /*args*/) override {}
  void gqa_attention(const kernels::GqaAttention& /*args*/) override {}
  void gqa_rows(const kernels::GqaRows& /*args*/) override {}
  void head_linear(const kernels::HeadLinear& /*args*/) override {}
  void linear(const kernels::Linear& /*args*/) override {}
  void mla_absorbed(const kernels::MlaAbsorbed& /*args*/) override {}
  void mla_decode(const kernels::MlaDecode& /*args*/) override {}
  void mla_expanded(const kernels::MlaExpanded& /*args*/) override {}
  void mla_latents(const kernels::MlaLatents& /*args*/) override {}
  void mla_queries(const kernels::MlaQueries& /*args*/) override {}
  void moe_layer(const kernels::MoeLayer& /*args*/) override {}
  void moe_mlp(const kernels::MoeMlp& /*args*/) override {}
  void normed_linear(const kernels::NormedLinear& /*args*/) override {}
  void multiply(const kernels::Multiply& /*args*/) override {}
  void read_memory(const kernels::ReadMemory& /*args*/) override {}
  void rms_norm(const kernels::RmsNorm& /*args*/) override {}
  void rope(const kernels::Rope& /*args*/) override {}
  void router_topk(const kernels::RouterTopK& /*args*/) override {}
  void sample(const kernels::Sample& /*args*/) override {}
  void step_ids(const kernels::StepIds& /*args*/) override {}
  void timestamp(const kernels::Timestamp& /*args*/) override {}
  void store_rows(const kernels::StoreRows& /*args*/) override {}

 private:
  std::string notes_;
  bool refuses_ = false;
};

}  // namespace glm::fakes
