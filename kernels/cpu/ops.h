// One entry per operation, as kernels/ops/<op>.h describes it. The pool is whose threads may help.
#pragma once

#include "kernels/cpu/thread_pool.h"
#include "kernels/ops.h"

namespace glm::kernels::cpu {

void embedding(ThreadPool& pool, const Embedding& a);
void gather_rows(ThreadPool& pool, const GatherRows& a);
void gated_linear(ThreadPool& pool, const GatedLinear& a);
void gqa_attention(ThreadPool& pool, const GqaAttention& a);
void head_linear(ThreadPool& pool, const HeadLinear& a);
void linear(ThreadPool& pool, const Linear& a);
void mla_absorbed(ThreadPool& pool, const MlaAbsorbed& a);
void mla_expanded(ThreadPool& pool, const MlaExpanded& a);
void moe_mlp(ThreadPool& pool, const MoeMlp& a);
void multiply(ThreadPool& pool, const Multiply& a);
void read_memory(ThreadPool& pool, const ReadMemory& a);
void rms_norm(ThreadPool& pool, const RmsNorm& a);
void rope(ThreadPool& pool, const Rope& a);
void router_topk(ThreadPool& pool, const RouterTopK& a);
void sample(ThreadPool& pool, const Sample& a);
void step_ids(ThreadPool& pool, const StepIds& a);
void store_rows(ThreadPool& pool, const StoreRows& a);

}  // namespace glm::kernels::cpu
