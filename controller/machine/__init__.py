"""Machine: one Fly app with its addresses, one volume, one machine; its life in sibling steps."""

from controller.machine.reconciler import MachineReconciler

__all__ = ["MachineReconciler"]
