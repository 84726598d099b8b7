// The `plan` dialect's C++ face.
#ifndef TERN_COMPILER_DIALECT_PLAN_PLANDIALECT_H
#define TERN_COMPILER_DIALECT_PLAN_PLANDIALECT_H

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "compiler/Dialect/Plan/PlanDialect.h.inc"
#define GET_ATTRDEF_CLASSES
#include "compiler/Dialect/Plan/PlanAttrs.h.inc"
#define GET_TYPEDEF_CLASSES
#include "compiler/Dialect/Plan/PlanTypes.h.inc"
#define GET_OP_CLASSES
#include "compiler/Dialect/Plan/PlanOps.h.inc"

#endif
