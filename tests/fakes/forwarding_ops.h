// A backend that passes everything on to another; what stands between them overrides what it needs.
#pragma once

#include <memory>
#include <utility>

#include "kernels/ops.h"

namespace glm::fakes {

class ForwardingOps : public kernels::Ops {
 public:
  explicit ForwardingOps(std::unique_ptr<kernels::Ops> inner) : inner_(std::move(inner)) {}

  std::string_view backend() const override { return inner_->backend(); }
  kernels::Dtype activation_dtype() const override { return inner_->activation_dtype(); }
  Result<kernels::Buffer> allocate(std::uint64_t size_bytes) override {
    return inner_->allocate(size_bytes);
  }
  Result<kernels::Buffer> allocate_host(std::uint64_t size_bytes) override {
    return inner_->allocate_host(size_bytes);
  }
  void upload_in_place(void* target, std::span<const std::byte> source) override {
    inner_->upload_in_place(target, source);
  }
  Result<std::unique_ptr<kernels::Event>> make_event() override { return inner_->make_event(); }
  Status mark(kernels::Event& event) override { return inner_->mark(event); }
  Status wait(kernels::Event& event) override { return inner_->wait(event); }
  void upload(void* target, std::span<const std::byte> source) override {
    inner_->upload(target, source);
  }
  void download(std::span<std::byte> target, const void* source) override {
    inner_->download(target, source);
  }
  Status sync() override { return inner_->sync(); }
  Result<std::unique_ptr<kernels::Uploader>> make_uploader(std::uint64_t size_bytes) override {
    return inner_->make_uploader(size_bytes);
  }
  Status reserve(const kernels::WorkspaceBounds& bounds) override {
    return inner_->reserve(bounds);
  }
  kernels::DeviceMemory memory() const override { return inner_->memory(); }
  std::unique_ptr<kernels::Recording> record(const std::function<void()>& enqueue) override {
    return inner_->record(enqueue);
  }
  bool records() const override { return inner_->records(); }
  void replay(const kernels::Recording& recording) override { inner_->replay(recording); }

  void beside(const std::function<void()>& enqueue) override { inner_->beside(enqueue); }
  void embedding(const kernels::Embedding& args) override { inner_->embedding(args); }
  void gated_linear(const kernels::GatedLinear& args) override { inner_->gated_linear(args); }
  void gqa_attention(const kernels::GqaAttention& args) override { inner_->gqa_attention(args); }
  void gather_rows(const kernels::GatherRows& args) override { inner_->gather_rows(args); }
  void gqa_rows(const kernels::GqaRows& args) override { inner_->gqa_rows(args); }
  void head_linear(const kernels::HeadLinear& args) override { inner_->head_linear(args); }
  void linear(const kernels::Linear& args) override { inner_->linear(args); }
  void mla_absorbed(const kernels::MlaAbsorbed& args) override { inner_->mla_absorbed(args); }
  void mla_decode(const kernels::MlaDecode& args) override { inner_->mla_decode(args); }
  void mla_expanded(const kernels::MlaExpanded& args) override { inner_->mla_expanded(args); }
  void mla_latents(const kernels::MlaLatents& args) override { inner_->mla_latents(args); }
  void mla_queries(const kernels::MlaQueries& args) override { inner_->mla_queries(args); }
  void moe_layer(const kernels::MoeLayer& args) override { inner_->moe_layer(args); }
  void moe_mlp(const kernels::MoeMlp& args) override { inner_->moe_mlp(args); }
  void normed_linear(const kernels::NormedLinear& args) override { inner_->normed_linear(args); }
  void multiply(const kernels::Multiply& args) override { inner_->multiply(args); }
  void read_memory(const kernels::ReadMemory& args) override { inner_->read_memory(args); }
  void rms_norm(const kernels::RmsNorm& args) override { inner_->rms_norm(args); }
  void rope(const kernels::Rope& args) override { inner_->rope(args); }
  void store_rows(const kernels::StoreRows& args) override { inner_->store_rows(args); }
  void sample(const kernels::Sample& args) override { inner_->sample(args); }
  void step_ids(const kernels::StepIds& args) override { inner_->step_ids(args); }
  void timestamp(const kernels::Timestamp& args) override { inner_->timestamp(args); }
  void router_topk(const kernels::RouterTopK& args) override { inner_->router_topk(args); }

 protected:
  std::unique_ptr<kernels::Ops> inner_;
};

}  // namespace glm::fakes
